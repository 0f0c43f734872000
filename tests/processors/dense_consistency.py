"""Isolation and reposition as they are written down: keys resampled, masks of N x (S + 1) N."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.processors.call import Call

__all__ = ["literal", "nearest"]


def nearest(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Cells of the target's box [K] and the source cells [K] that torch's "nearest" puts there."""
    (top, bottom), (left, right) = (_span(source, axis) for axis in (1, 0))
    (up, down), (first, last) = (_span(target, axis) for axis in (1, 0))
    numbers = torch.arange(source.numel()).view(source.shape)
    box = numbers[top:bottom, left:right][None, None].double()
    taken = F.interpolate(box, (down - up, last - first), mode="nearest").long().flatten()
    return numbers[up:down, first:last].flatten(), taken


def literal(
    call: Call,
    target: int,
    portraits: Sequence[int],
    seats: Sequence[Tensor],
    places: Sequence[Tensor],
    gates: Sequence[Tensor],
    *,
    isolate: bool,
    bonus: float = 0.0,
) -> Tensor:
    """[H, N, D] of row `target`; seats, places [h, w] and gates [N] bool of each subject."""
    q, k, v = call.q[target], call.k[target], call.v[target]
    N = q.shape[1]
    allowed = torch.ones(N, N, dtype=torch.bool)
    if isolate:
        for i, one in enumerate(places):
            for j, other in enumerate(places):
                if i != j:
                    allowed &= ~(one.flatten()[:, None] & other.flatten())
    logits, values = [], []
    for row, seat, place, gate in zip(portraits, seats, places, gates, strict=True):
        cells, taken = nearest(seat, place)
        keys, vals, there = torch.zeros_like(k), torch.zeros_like(v), torch.zeros(N).bool()
        keys[:, cells], vals[:, cells] = call.k[row][:, taken], call.v[row][:, taken]
        there[cells] = seat.flatten()[taken]
        asks = place.flatten() & gate
        pairs = (asks[:, None] & there).float().log()
        logits.append(q @ keys.mT * q.shape[-1] ** -0.5 + bonus + pairs)
        values.append(vals)
    logits.append(q @ k.mT * q.shape[-1] ** -0.5 + allowed.float().log())
    values.append(v)
    return torch.cat(logits, -1).softmax(-1) @ torch.cat(values, 1)


def _span(mask: Tensor, axis: int) -> tuple[int, int]:
    lines = mask.any(axis).nonzero()[:, 0]
    return int(lines[0]), int(lines[-1]) + 1
