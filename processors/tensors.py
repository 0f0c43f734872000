"""The tensors of a call, by rows: what no row looks by need not be projected, nor copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Given", "Looks", "Tensors", "pick"]


def pick(x: Tensor, rows: Sequence[int]) -> Tensor:
    """Rows of a tensor: a view where they follow one another or are all the same, else a copy."""
    wanted, first = list(rows), rows[0] if rows else 0
    if wanted == list(range(first, first + len(wanted))):
        return x[first : first + len(wanted)]
    if wanted == [first] * len(wanted):
        return x[first : first + 1].expand(len(rows), *x.shape[1:])
    return torch.stack([x[row] for row in rows])  # a list as index would be copied to the GPU


@dataclass(frozen=True, eq=False)
class Looks:
    """Queries [R, H, N, D] and keys [R, H, S, D] of some rows of a batch."""

    rows: tuple[int, ...]
    q: Tensor
    k: Tensor

    def of(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Those of `rows`, in that order; a row may come more than once."""
        places = [self.rows.index(row) for row in rows]
        return pick(self.q, places), pick(self.k, places)


class Tensors(Protocol):
    """q, k and v of a call; families project q and k for the rows that are asked for only."""

    @property
    def v(self) -> Tensor:
        """[B, H, S, D]."""
        ...

    @property
    def queries(self) -> int:
        """N."""
        ...

    def looks(self, rows: Sequence[int]) -> Looks:
        """Queries and keys of these rows, maybe of more."""
        ...


@dataclass(frozen=True, eq=False)
class Given:
    """Tensors that are there already: q [B, H, N, D]; k, v [B, H, S, D]."""

    q: Tensor
    k: Tensor
    v: Tensor

    @property
    def queries(self) -> int:
        return self.q.shape[2]

    def looks(self, rows: Sequence[int]) -> Looks:
        return Looks(tuple(range(self.q.shape[0])), self.q, self.k)
