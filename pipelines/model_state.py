"""All that a picture depends on but its prompt and seed, so that nothing stale is read."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["drawing_facts", "model_state"]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_ADAPTERS = ("_active_adapter", "_disable_adapters")  # of a layer with a LoRA


def drawing_facts(
    pipe: Any, guidance: float | None, negative: str, call: Mapping[str, Any]
) -> object:
    """Of a call of the pipeline, its callbacks left out; equal where pictures are."""
    asked = {name: value for name, value in call.items() if "callback" not in name}
    said = [(name, _said(value)) for name, value in sorted(asked.items())]
    return model_state(pipe), guidance, negative, said


def model_state(pipe: Any) -> object:
    """Of its denoiser, text encoders and scheduler; equal while all of them are as they were.

    Weights are summed as integers, so that a change of one of them is seen wherever it is; with
    them go the settings of modules: FreeU's, an adapter's scale. Weights that cannot be summed,
    being elsewhere (sequential offloading) or quantised in their own way, are never equal.
    """
    digest = sha256()
    unknown = None
    for name, module in sorted(pipe.components.items()):
        if name in ("unet", "transformer") or name.startswith("text_encoder"):
            if not isinstance(module, nn.Module):
                continue
            tensors = [*module.parameters(), *module.buffers()]
            if any(x.is_meta or type(x.data) is not Tensor for x in tensors):
                unknown = object()
                continue
            shapes = [(tuple(x.shape), x.dtype) for x in tensors]
            settings = [(at, _settings(part)) for at, part in module.named_modules()]
            digest.update(repr((name, shapes, _sums(tensors), settings)).encode())
    scheduler = type(pipe.scheduler).__name__, sorted(pipe.scheduler.config.items())
    digest.update(repr((type(pipe).__name__, scheduler)).encode())
    return digest.hexdigest(), unknown


def _sums(tensors: list[Tensor]) -> list[int]:
    sums = [x.detach().view(_INTEGERS[x.element_size()]).sum(dtype=torch.int64) for x in tensors]
    found: dict[torch.device, list[Tensor]] = {}
    for x in sums:
        found.setdefault(x.device, []).append(x)
    return [number for some in found.values() for number in torch.stack(some).tolist()]


def _settings(module: nn.Module) -> str:
    told = {
        name: value
        for name, value in vars(module).items()
        if (name in _ADAPTERS or not name.startswith("_")) and _plain(value)
    }
    return repr(sorted(told.items()))


def _plain(value: object) -> bool:
    """Whether it is a number, a text, or made of them."""
    if isinstance(value, dict):
        return all(_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _said(value: object) -> str:
    """An argument as text, a tensor with all of its numbers."""
    return repr(value.tolist() if isinstance(value, Tensor) else value)
