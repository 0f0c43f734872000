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
from PIL import Image

from ...distill import Distillation, distill
from ...distill.teacher import Images
from ...models import describe
from ...pipelines.calls import length_arguments
from ...pipelines.load import load
from ...processors.families import family_of
from ..plan import Plan
from ..render import render
from ..sample import sample_plan
from .card import read_card, write_card
from .pictures import check_nouns
from .save import save_pipeline

__all__ = ["plans", "scenes", "train_clear"]

# Of the pictures, where the empty prompt guides: at guidance g an error there counts g - 1 times,
# where the prompt's counts g times.
_UNPROMPTED = 0.25


def plans(count: int, seed: int, nouns: Sequence[str]) -> tuple[Plan, ...]:
    """Scenes that training may see; ValueError for nouns that it does not know."""
    check_nouns(nouns)
    rng = np.random.default_rng(seed)
    return tuple(sample_plan(rng, nouns=nouns) for _ in range(count))


def scenes(known: Sequence[Plan]) -> Images:
    """Renders them, square ones."""

    def image(number: int, size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(render(known[number], size[0]).image)

    return image


def train_clear(
    start: Path,
    out: Path,
    prompts: Sequence[str],
    settings: Distillation,
    *,
    images: Images | None = None,
    device: str = "cpu",
    threads: int | None = None,
    resume: bool = True,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Distils the pipeline in `start` and returns the folder of the one that came out.

    That is `out / "<name>-clear"`, a stock pipeline to be run with `local_window` of the same
    radius; beside it `out / "checkpoints" / "<name>-clear"` has pictures, losses and samples.
    images: of the prompts, as in `distill`; None = the model draws them.
    resume: False = begin anew, whatever that folder holds.

    A model that is trained whole is fp32, since bf16 loses small steps; on CUDA its products are
    TF32, or bf16 where accelerate is told so (ACCELERATE_MIXED_PRECISION, `accelerate launch`).
    With a rank it is what `load` makes of it, as FLUX.1 on one GPU needs.

    ValueError for a model that is no FLUX.
    """
    from accelerate import PartialState

    if threads is not None:
        torch.set_num_threads(threads)
    if device != "cpu":
        torch.set_float32_matmul_precision("high")
    dtype = torch.float32 if settings.rank is None else None
    pipe: Any = load(start, dtype=dtype, device=device)
    if family_of(pipe).name != "flux":
        raise ValueError(f"start: {start} holds a {type(pipe).__name__}; expected a FLUX pipeline")
    side = describe(start).image_size
    if settings.size is None and side is not None:  # the pipeline only knows FLUX.1's
        settings = replace(settings, size=(side, side))
    settings = replace(settings, **length_arguments(pipe))
    if not pipe.transformer.config.guidance_embeds:
        settings = replace(settings, unprompted=_UNPROMPTED)
    name = f"{start.resolve().name}-clear"
    work, folder = out / "checkpoints" / name, out / name
    done = distill(
        *(pipe, prompts, settings, work),
        images=images,
        shown=prompts[:4],
        progress=progress,
        cpu=device == "cpu",
        resume=resume,
    )
    processes = PartialState()
    if processes.is_main_process:
        save_pipeline(pipe.to("cpu"), folder)
        facts = {"steps": done.steps, "loss": done.loss, "radius": settings.radius}
        facts |= {} if settings.late is None else {"late": settings.late}
        (folder / "clear.json").write_text(json.dumps(facts, indent=2) + "\n")
        if (start / "card.json").is_file():  # without it nobody knows its size and its nouns
            card = read_card(start)
            own = "its own" if images is None else "given pictures"
            data = f"{card.data}, then with windows of radius {settings.radius:g} on {own}"
            write_card(replace(card, name=name, data=data, figures={}), folder)
    processes.wait_for_everyone()
    return folder
