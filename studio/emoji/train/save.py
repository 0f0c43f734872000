"""Writes a trained pipeline as a diffusers folder of half-size weights, or as its difference."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, FluxFillPipeline
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...pipelines.fill import DIFFERENCE, DOWN, UP, WIDE
from ...whole_files import whole

__all__ = ["save_fill", "save_pipeline"]


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


def save_fill(
    pipe: FluxFillPipeline,
    factors: dict[str, tuple[Tensor, Tensor]],
    folder: Path,
    *,
    base: str,
) -> None:
    """What `pipelines.fill` reads, in bf16.

    factors: layer name -> (A [rank, in], B [out, rank]).
    base:    what it is a difference to: a folder beside this one, or an embedded model's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {WIDE: pipe.transformer.get_parameter(WIDE)}
    for layer, (down, up) in factors.items():
        tensors[layer + DOWN], tensors[layer + UP] = down, up
    halves = {
        name: x.detach().to("cpu", torch.bfloat16).contiguous() for name, x in tensors.items()
    }
    with whole(folder / DIFFERENCE) as part:
        save_file(halves, part, metadata={"base": base, "format": "pt"})
    configs = {"transformer": pipe.transformer, "vae": pipe.vae}
    for name, module in configs.items():
        facts = {k: v for k, v in module.config.items() if k != "_name_or_path"}
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(facts, indent=2) + "\n")
    index = {"_class_name": type(pipe).__name__}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
