"""Masks and biases of all controls as one additive tensor, each for its own rows only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .call import Call
from .control import Control

__all__ = ["limits"]


def limits(call: Call, controls: Sequence[Control], *, masks: bool = True) -> Tensor | None:
    """What is added to the scores, broadcastable to [B, H, N, S], fp32; None = nothing.

    masks: without them only biases, where `Windows` has all masks.

    It belongs to the output row: a row that looks by another row's queries keeps its own limits.
    """
    total = call.bias
    for control in controls:
        mask, bias = control.mask(call) if masks else None, control.bias(call)
        if mask is None and bias is None:
            continue
        added = torch.zeros(1, 1, 1, call.shape[3], device=call.device)
        if mask is not None:
            allowed = mask.allowed(call)
            added = torch.zeros(allowed.shape, device=allowed.device).masked_fill(
                ~allowed, -torch.inf
            )
        if bias is not None:
            added = added + bias.dense(call)
        added = _for_rows(added, call, call.batch.select(control.rows))
        total = added if total is None else total + added
    return total


def _for_rows(added: Tensor, call: Call, rows: Sequence[int]) -> Tensor:
    added = added[(None,) * (4 - added.ndim)]
    if len(rows) == call.shape[0]:
        return added
    chosen = torch.zeros(call.shape[0], 1, 1, 1, dtype=torch.bool)
    chosen[list(rows)] = True
    return torch.where(chosen.to(added.device), added, 0.0)
