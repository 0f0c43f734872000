"""Rows of queries that see one set of keys after another; the parts are merged by their LSE.

    lse = log sum_j exp(q·k_j + bias_j)          out = sum_j exp(q·k_j + bias_j − lse) v_j

Everything is computed in the dtype of the rows, fp32 or fp64; keys may be narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Keys", "Rows"]

_KEYS = 4096  # half precision is widened this many keys at a time


@dataclass(frozen=True, eq=False)
class Keys:
    """k, v [..., K, D] with an additive weight per key, bias [..., K, 1] or None."""

    k: Tensor
    v: Tensor
    bias: Tensor | None = None

    def map(self, view: Callable[[Tensor], Tensor]) -> Keys:
        """The same done to all of them."""
        return Keys(view(self.k), view(self.v), None if self.bias is None else view(self.bias))

    def plain(self) -> Keys:
        """Without a bias that is zero everywhere, which would cost a slower path."""
        return Keys(self.k, self.v) if self.bias is not None and not self.bias.any() else self

    def pieces(self, dtype: torch.dtype, most: int = _KEYS) -> Iterator[tuple[slice, Keys]]:
        """Keys [G, K, D] in `dtype`, at most so many at a time."""
        for start in range(0, self.k.shape[1], most):
            piece = slice(start, start + most)
            yield piece, self.map(lambda x, piece=piece: x[:, piece].to(dtype)).plain()


@dataclass(frozen=True, eq=False)
class Rows:
    """Queries q [..., M, D], already scaled, with what they have seen so far: out and lse.

    out [..., M, D], lse [..., M, 1]; a row that has seen nothing is zero, its LSE −inf.
    """

    q: Tensor
    out: Tensor
    lse: Tensor

    @classmethod
    def of(cls, q: Tensor) -> Rows:
        """Rows that have seen nothing yet."""
        return cls(q, torch.zeros_like(q), q.new_full((*q.shape[:-1], 1), -torch.inf))

    def map(self, view: Callable[[Tensor], Tensor]) -> Rows:
        """Some of the rows, seen through a view: what they see, these see."""
        return Rows(view(self.q), view(self.out), view(self.lse))

    def see(self, keys: Keys, mask: Tensor | None = None) -> None:
        """Rows [G, J, M, D] see keys [G, J, K, D] but for −inf in mask, broadcast to [G, J, M, K]."""
        bias = mask if keys.bias is None else _add(keys.bias.mT, mask)
        part, lse = _attend(self.q, keys.k, keys.v, bias)
        total = torch.logaddexp(self.lse, lse)
        share = (lse - total.masked_fill(total == -torch.inf, 0.0)).exp_()
        self.out.lerp_(part, share)
        self.lse.copy_(total)

    def see_all(self, keys: Keys, mask: Tensor | None = None) -> None:
        """Rows [G, M, D] see keys [G, K, D] of any float dtype, but for −inf in mask [M, K]."""
        rows = self.map(lambda x: x[:, None])
        views = keys.k.dtype == self.q.dtype and keys.bias is None and mask is None
        for piece, few in keys.pieces(self.q.dtype, keys.k.shape[1] if views else _KEYS):
            hidden = None if mask is None else mask[:, piece]
            rows.see(few.map(lambda x: x[:, None]), hidden)


def _add(bias: Tensor, mask: Tensor | None) -> Tensor:
    return bias if mask is None else bias + mask


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
