"""Who may see whom, as data: a window, labels or a table, joined with `&`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .call import Call, Segments

__all__ = ["Dense", "KeyBias", "Labels", "Mask", "Part", "Window"]


class Part(Protocol):
    """One condition of a mask; a kernel may know it better than by its table."""

    def allowed(self, call: Call) -> Tensor:
        """bool, broadcastable to [B, H, N, S]: True = may see."""
        ...


@dataclass(frozen=True)
class Window:
    """Image tokens see image tokens within a disc; all else sees all, but text no pooled keys.

    CLEAR, Liu et al. 2024 (arXiv:2412.16112):  dy² + dx² < radius²  (strict, as in the code).
    radius_tok: in tokens of the grid.
    """

    radius_tok: float

    def allowed(self, call: Call) -> Tensor:
        _, _, N, S = call.shape
        rows = _places(call.queries, N, call.device)
        columns = _places(call.keys, S, call.device)
        distance = (rows[:, None] - columns[None, :]).square().sum(-1)
        # text has no place: nan compares False, and `not (>=)` leaves it visible
        allowed = ~(distance >= self.radius_tok**2)
        if call.keys.coarse is not None:
            allowed[:, call.keys.coarse] = ~rows[:, :1].isnan()
        return allowed


@dataclass(frozen=True, eq=False)
class Labels:
    """Groups as bits: a query sees a key when their words share a bit.

    see: [B or 1, N] int, what a query looks at.   own: [B or 1, S] int, what a key belongs to.
    """

    see: Tensor
    own: Tensor

    def allowed(self, call: Call) -> Tensor:
        see, own = self.see.to(call.device), self.own.to(call.device)
        return (see[:, None, :, None] & own[:, None, None, :]) != 0


@dataclass(frozen=True, eq=False)
class Dense:
    """The table itself, broadcastable to [B, H, N, S]; True = may see."""

    table: Tensor

    def allowed(self, call: Call) -> Tensor:
        return self.table.to(call.device)


@dataclass(frozen=True, eq=False)
class Mask:
    """Parts that must all allow a pair. `Mask.of(Window(8)) & Mask.of(labels)`."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, *parts: Part) -> Mask:
        """A mask of these parts."""
        return cls(parts)

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.parts + other.parts)

    def allowed(self, call: Call) -> Tensor:
        """bool, broadcastable to [B, H, N, S]."""
        table = self.parts[0].allowed(call)
        for part in self.parts[1:]:
            table = table & part.allowed(call)
        return table


@dataclass(frozen=True, eq=False)
class KeyBias:
    """Additive log-weights, in nats.

    keys:   [S], or [L, S] when `labels` is given.
    labels: [N] int, which line of `keys` a query takes.
    """

    keys: Tensor
    labels: Tensor | None = None

    def dense(self, call: Call) -> Tensor:
        """[1 or N, S] on the call's device, fp32."""
        keys = self.keys.to(call.device, torch.float32)
        return keys[None] if self.labels is None else keys[self.labels.to(call.device)]


def _places(segments: Segments, tokens: int, device: torch.device) -> Tensor:
    """[N, 2] row and column of each image token, nan for all others, fp32."""
    places = torch.full((tokens, 2), torch.nan, device=device)
    if segments.image is not None and segments.grid is not None:
        height, width = (torch.arange(n, device=device) for n in segments.grid)
        places[segments.image] = torch.cartesian_prod(height, width).to(places.dtype)
    return places
