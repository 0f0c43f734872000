"""Gradients of rows that saw some keys, from their LSE over all keys they saw.

probs   = exp(q·k + bias − lse)               delta = sum(dout · out) − dlse
dscores = probs · (dout·v − delta)            dbias = sum over rows of dscores
dq = dscores·k     dk = dscoresᵀ·q     dv = probsᵀ·dout          (q already scaled)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .forward import SCORES, Keys, mask_of

__all__ = ["KeyGradients", "RowGradients"]


@dataclass(frozen=True, eq=False)
class KeyGradients:
    """Sums of dk, dv [..., K, D] and dbias [..., K, 1] or None."""

    dk: Tensor
    dv: Tensor
    dbias: Tensor | None

    @classmethod
    def zeros(cls, shape: torch.Size, like: Tensor, bias: bool) -> KeyGradients:
        """For keys of `shape` [..., K, D]."""
        dbias = like.new_zeros((*shape[:-1], 1)) if bias else None
        return cls(like.new_zeros(shape), like.new_zeros(shape), dbias)

    def map(self, view: Callable[[Tensor], Tensor]) -> KeyGradients:
        """Those of some of the keys, through a view."""
        dbias = None if self.dbias is None else view(self.dbias)
        return KeyGradients(view(self.dk), view(self.dv), dbias)

    def at(self, piece: slice) -> KeyGradients:
        """Those of some of the keys [G, K, D]."""
        return self.map(lambda x: x[:, piece])

    def add(self, q: Tensor, dout: Tensor, probs: Tensor, dscores: Tensor) -> None:
        """What rows [G, M, D] pass back to keys [G, K, D]."""
        self.dk.baddbmm_(dscores.mT, q)
        self.dv.baddbmm_(probs.mT, dout)
        if self.dbias is not None:
            self.dbias.add_(dscores.sum(1)[..., None])


@dataclass(frozen=True, eq=False)
class RowGradients:
    """Rows q [..., M, D], already scaled, with their dout, delta, lse and the sum dq."""

    q: Tensor
    dout: Tensor
    delta: Tensor
    lse: Tensor
    dq: Tensor
    groups: Tensor | None

    @classmethod
    def of(
        cls,
        q: Tensor,
        dout: Tensor,
        dlse: Tensor | None,
        out: Tensor,
        lse: Tensor,
        groups: Tensor | None = None,
    ) -> RowGradients:
        """dlse, lse [..., M, 1]; groups as in Rows."""
        delta = (dout * out).sum(-1, keepdim=True)
        if dlse is not None:
            delta = delta - dlse
        # a row without keys has only scores of −inf: with 0 as its LSE their probs are 0
        level = lse.masked_fill(lse == -torch.inf, 0.0)
        return cls(q, dout, delta, level, torch.zeros_like(q), groups)

    def map(self, view: Callable[[Tensor], Tensor]) -> RowGradients:
        """Some of the rows, through a view."""
        groups = None if self.groups is None else view(self.groups)
        q, dout, delta, lse, dq = map(view, (self.q, self.dout, self.delta, self.lse, self.dq))
        return RowGradients(q, dout, delta, lse, dq, groups)

    def at(self, some: slice) -> RowGradients:
        """Some of the rows [G, M, D]."""
        return self.map(lambda x: x[:, some])

    def saw(self, keys: Keys, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """probs and dscores [G, M, K] of rows [G, M, D] over keys [G, K, D]; adds to dq."""
        probs = self.q @ keys.k.mT
        bias = mask_of(self.groups, keys, mask)
        if bias is not None:
            probs += bias
        probs.sub_(self.lse).exp_()
        dscores = (self.dout @ keys.v.mT).sub_(self.delta).mul_(probs)
        self.dq.baddbmm_(dscores, keys.k)
        return probs, dscores

    def saw_all(self, keys: Keys, into: KeyGradients) -> None:
        """Rows [G, M, D] saw keys [G, K, D] of any float dtype. Scores are held in pieces."""
        for piece, few in keys.pieces(self.q.dtype):
            target = into.at(piece)
            step = max(1, SCORES // max(1, few.k.shape[0] * few.k.shape[1]))
            for first in range(0, self.q.shape[1], step):
                rows = self.at(slice(first, first + step))
                target.add(rows.q, rows.dout, *rows.saw(few))
