"""Where a distillation stands: trained numbers and the optimizer's moments in one safetensors file.

A resumed run continues as an undisturbed one would, since data and noise follow from the step;
in fp16 only the scale of the loss is found anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..whole_files import whole
from .settings import Distillation

__all__ = ["restore", "save", "stamp"]

# What may change between two runs.
_FREE = {"steps", "drawn_batch", "save_every", "show_every", "checkpointing"}


def save(model: nn.Module, optimizer: torch.optim.AdamW, step: int, file: Path, made: str) -> None:
    """made: as `stamp` gives it."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in _trained(model).items():
        tensors[f"model.{name}"] = parameter
        for key, value in optimizer.state[parameter].items():
            tensors[f"adam.{key}.{name}"] = value
    file.parent.mkdir(parents=True, exist_ok=True)
    on_cpu = {name: x.detach().cpu().clone() for name, x in tensors.items()}
    with whole(file) as part:
        save_file(on_cpu, part, metadata={"step": str(step), "made": made})


def restore(model: nn.Module, optimizer: torch.optim.AdamW, file: Path, made: str) -> int:
    """Puts everything back; the steps that are done, 0 where there is no file.

    ValueError for a checkpoint of other settings.
    """
    if not file.is_file():
        return 0
    with safe_open(file, "pt") as found:
        said = found.metadata() or {}
        if said.get("made") != made:
            raise ValueError(
                f"checkpoint: {file} was made with {said.get('made')}, and this run has {made}; "
                "expected the same, or a folder of its own"
            )
        with torch.no_grad():
            for name, parameter in _trained(model).items():
                parameter.copy_(found.get_tensor(f"model.{name}"))
                optimizer.state[parameter] = {
                    key: found.get_tensor(f"adam.{key}.{name}").to(
                        parameter.device if key != "step" else "cpu"
                    )
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
    return int(said["step"])


def stamp(settings: Distillation, count: int) -> str:
    """What two runs must have in common to be one."""
    kept = {key: value for key, value in asdict(settings).items() if key not in _FREE}
    return json.dumps({**kept, "pictures": count}, sort_keys=True)


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
