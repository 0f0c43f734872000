"""Rows of queries that see one set of keys after another; the parts are merged by their LSE.

    lse = log sum_j exp(q·k_j + bias_j)          out = sum_j exp(q·k_j + bias_j − lse) v_j

Everything is computed in the dtype of the rows, fp32 or fp64; keys may be narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Keys", "Rows", "SCORES", "mask_of"]

SCORES = 2**18  # elements of scores or masks held at a time: 1 MB in fp32
_KEYS = 4096  # half precision is widened this many keys at a time


@dataclass(frozen=True, eq=False)
class Keys:
    """k, v [..., K, D], bias [..., K, 1] added to scores, own [..., K, 1], the bits of a key."""

    k: Tensor
    v: Tensor
    bias: Tensor | None = None
    own: Tensor | None = None

    def map(self, view: Callable[[Tensor], Tensor]) -> Keys:
        """The same done to all of them."""
        bias, own = (None if x is None else view(x) for x in (self.bias, self.own))
        return Keys(view(self.k), view(self.v), bias, own)

    def at(self, piece: slice) -> Keys:
        """Some of the keys [G, K, D]."""
        return self.map(lambda x: x[:, piece])

    def to(self, dtype: torch.dtype) -> Keys:
        """In `dtype`, and without a bias that is zero everywhere, which would cost time."""
        bias = self.bias if self.bias is not None and self.bias.any() else None
        bias = None if bias is None else bias.to(dtype)
        return Keys(self.k.to(dtype), self.v.to(dtype), bias, self.own)

    @property
    def masked(self) -> bool:
        """Whether scores of these keys are changed one by one."""
        return self.bias is not None or self.own is not None

    def pieces(self, dtype: torch.dtype, most: int = _KEYS) -> Iterator[tuple[slice, Keys]]:
        """Keys [G, K, D] in `dtype`, at most so many at a time."""
        for start in range(0, self.k.shape[1], most):
            piece = slice(start, start + most)
            yield piece, self.at(piece).to(dtype)


@dataclass(frozen=True, eq=False)
class Rows:
    """Queries q [..., M, D], already scaled, with what they have seen so far: out and lse.

    out [..., M, D], lse [..., M, 1]; a row that has seen nothing is zero, its LSE −inf.
    groups [..., M, 1]: the bits a row looks at; of keys that have bits it sees those sharing one.
    """

    q: Tensor
    out: Tensor
    lse: Tensor
    groups: Tensor | None = None

    @classmethod
    def of(cls, q: Tensor, groups: Tensor | None = None) -> Rows:
        """Rows that have seen nothing yet."""
        return cls(q, torch.zeros_like(q), q.new_full((*q.shape[:-1], 1), -torch.inf), groups)

    def map(self, view: Callable[[Tensor], Tensor]) -> Rows:
        """Some of the rows, seen through a view: what they see, these see."""
        groups = None if self.groups is None else view(self.groups)
        return Rows(view(self.q), view(self.out), view(self.lse), groups)

    def at(self, some: slice) -> Rows:
        """Some of the rows [G, M, D]."""
        return self.map(lambda x: x[:, some])

    def see(self, keys: Keys, mask: Tensor | None = None) -> None:
        """Rows [G, J, M, D] see keys [G, J, K, D] but for −inf in mask, which broadcasts."""
        part, lse = _attend(self.q, keys.k, keys.v, mask_of(self.groups, keys, mask))
        total = torch.logaddexp(self.lse, lse)
        share = (lse - total.masked_fill(total == -torch.inf, 0.0)).exp_()
        self.out.lerp_(part, share)
        self.lse.copy_(total)

    def see_all(self, keys: Keys) -> None:
        """Rows [G, M, D] see keys [G, K, D] of any float dtype."""
        views = keys.k.dtype == self.q.dtype and not keys.masked
        for _, few in keys.pieces(self.q.dtype, keys.k.shape[1] if views else _KEYS):
            count = self.q.shape[1]
            step = max(1, count if few.own is None else SCORES // few.k.shape[1])
            for start in range(0, count, step):
                rows = self.at(slice(start, start + step)).map(lambda x: x[:, None])
                rows.see(few.map(lambda x: x[:, None]))


def mask_of(groups: Tensor | None, keys: Keys, mask: Tensor | None) -> Tensor | None:
    """What is added to the scores [..., M, K], None where it would be zero."""
    if keys.bias is not None:
        mask = keys.bias.mT if mask is None else keys.bias.mT + mask
    if groups is None or keys.own is None:
        return mask
    hidden = (groups & keys.own.mT) == 0
    if not hidden.any():
        return mask
    start = keys.k.new_zeros(()) if mask is None else mask
    return start.masked_fill(hidden, -torch.inf)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    if q.device.type == "cpu":
        mask = None if bias is None else bias.expand(*q.shape[:-1], k.shape[-2])
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=mask, scale=1.0
        )
        lse = lse[..., None]
        if bias is not None:  # the fused call says 0 for a row without keys
            lse = lse.masked_fill(bias.amax(-1, keepdim=True) == -torch.inf, -torch.inf)
        return out, lse
    scores = q @ k.mT if bias is None else q @ k.mT + bias
    lse = scores.logsumexp(-1, keepdim=True)
    return (scores - lse.masked_fill(lse == -torch.inf, 0.0)).exp_() @ v, lse
