"""Word maps in plain torch with scratch of a fixed size: the way on CPUs.

Walks over batch, a few heads and a few queries at a time, so that what is held is _ELEMENTS numbers
however many heads and queries there are. With P as in api.py and dA = dout · wordsᵀ / H, the same
for every head,

    dS = P ⊙ dA        dq = scale · dS k        dk = scale · dSᵀ q        dlse = −rowsum(dS)
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["backward", "forward"]

_ELEMENTS = 2**18  # 1 MB of fp32: stays in a core's own cache


def forward(
    q: Tensor, k: Tensor, words: Tensor, lse: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """[B, N, W] in words' dtype, fp32 or fp64; bias [B, H, N, T]."""
    B, H, N, _ = q.shape
    out = words.new_zeros(B, N, words.shape[-1])
    for b, heads, rows in _chunks(q, k):
        probs = _probs(q, k, lse, bias, scale, b, heads, rows)
        out[b, rows].addmm_(probs.sum(0), words[b], alpha=1 / H)
    return out


def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk in their dtypes and dlse."""
    wide, H = words.dtype, q.shape[1]
    dq, dlse = q.new_empty(q.shape), lse.new_empty(lse.shape)
    dk = k.new_zeros(k.shape, dtype=wide)
    for b, heads, rows in _chunks(q, k):
        dscores = _probs(q, k, lse, bias, scale, b, heads, rows)
        dscores *= (dout[b, rows] @ words[b].mT).div_(H)
        dlse[b, heads, rows] = dscores.sum(-1).neg_()
        dscores *= scale
        dq[b, heads, rows] = (dscores @ k[b, heads].to(wide)).to(q.dtype)
        dk[b, heads].baddbmm_(dscores.mT, q[b, heads, rows].to(wide))
    return dq, dk.to(k.dtype), dlse


def _chunks(q: Tensor, k: Tensor) -> Iterator[tuple[int, slice, slice]]:
    """(batch, heads, queries), whose scores, queries and keys are each at most _ELEMENTS."""
    B, H, N, D = q.shape
    T = k.shape[2]
    rows = max(1, min(N, _ELEMENTS // max(T, D)))
    heads = max(1, _ELEMENTS // max(rows * T, rows * D, T * D))
    for b in range(B):
        for h in range(0, H, heads):
            for n in range(0, N, rows):
                yield b, slice(h, min(H, h + heads)), slice(n, min(N, n + rows))


def _probs(
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
    b: int,
    heads: slice,
    rows: slice,
) -> Tensor:
    """[H', N', T]."""
    wide = lse.dtype
    level = lse[b, heads, rows, None]
    offset = torch.where(level == -torch.inf, level, -level)  # nothing seen: P = exp(−inf)
    keys = k[b, heads].to(wide).mT
    scores = torch.baddbmm(offset, q[b, heads, rows].to(wide), keys, alpha=scale)
    if bias is not None:
        scores += bias[b, heads, rows]
    return scores.exp_()
