"""Writes a trained pipeline as a diffusers folder of half-size weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import nn
from transformers import PreTrainedModel

__all__ = ["save_pipeline"]


def save_pipeline(pipe: DiffusionPipeline, folder: Path) -> None:
    """A folder with bf16 weights that plain `from_pretrained` loads as fp32."""
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}
    for part in parts.values():
        part.to(torch.bfloat16)
    pipe.save_pretrained(folder)
    for name, part in parts.items():
        config = folder / name / "config.json"
        facts = json.loads(config.read_text())
        facts.pop("_name_or_path", None)  # the path of this machine
        if isinstance(part, PreTrainedModel):
            # transformers takes the stored type unless the config names another, diffusers takes
            # fp32: without this the two would meet in one picture.
            facts["dtype"] = "float32"
        config.write_text(json.dumps(facts, indent=2) + "\n")
