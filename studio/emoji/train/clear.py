"""`train clear`: a trained FLUX pipeline, emoji-flux for one, learns to draw with local windows.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112); the method is in `attention_studio.distill`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...distill import Distillation, distill
from ...pipelines.load import load
from ..sample import sample_plan
from .save import save_pipeline

__all__ = ["captions", "train_clear"]

_UNPROMPTED = 0.1  # of the pictures, where the empty prompt guides


def captions(count: int, seed: int, nouns: Sequence[str]) -> tuple[str, ...]:
    """Of scenes that training may see."""
    rng = np.random.default_rng(seed)
    return tuple(sample_plan(rng, nouns=nouns).caption for _ in range(count))


def train_clear(
    start: Path,
    out: Path,
    prompts: Sequence[str],
    settings: Distillation,
    *,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Distils the pipeline in `start` and returns the folder of the one that came out.

    That is `out / "<name>-clear"`, a stock pipeline to be run with `local_window` of the same
    radius; beside it `out / "checkpoints" / "<name>-clear"` has pictures, losses and samples.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    pipe: Any = load(start, device=device)
    length = getattr(getattr(pipe, "tokenizer_2", None), "model_max_length", 512)
    settings = replace(settings, max_sequence_length=min(512, length))
    if not getattr(pipe.transformer.config, "guidance_embeds", True):
        settings = replace(settings, unprompted=_UNPROMPTED)
    name = f"{start.resolve().name}-clear"
    work, folder = out / "checkpoints" / name, out / name
    done = distill(
        *(pipe, prompts, settings, work),
        shown=prompts[:4],
        progress=progress,
        cpu=device == "cpu",
    )
    save_pipeline(pipe.to("cpu"), folder)
    facts = {"steps": done.steps, "loss": done.loss, "radius": settings.radius}
    (folder / "clear.json").write_text(json.dumps(facts, indent=2) + "\n")
    return folder
