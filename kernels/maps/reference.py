"""The same in plain torch: what every kernel of this folder is held against."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["attention_lse", "lse", "word_maps"]

_ELEMENTS = 2**22  # of scores held at a time: fewer heads at once on big grids


def attention_lse(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """See fused.py. In fp32, for fp64 in fp64. A query that sees nothing gets zero and −inf."""
    outs, found = [], []
    for heads, scores in _scores(q, k, scale, bias):
        total = _lse(scores)
        probs = (scores - _finite(total)).exp()
        outs.append((probs @ v[:, heads].to(probs.dtype)).to(v.dtype))
        found.append(total)
    return torch.cat(outs, 1), torch.cat(found, 1)


def lse(q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None) -> Tensor:
    """See fused.py."""
    return torch.cat([_lse(scores) for _, scores in _scores(q, k, scale, bias)], 1)


def word_maps(
    q: Tensor, k: Tensor, words: Tensor, lse: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """See api.py."""
    total = torch.zeros((), dtype=lse.dtype, device=q.device)
    for heads, scores in _scores(q, k, scale, bias):
        level = lse[:, heads]
        probs = (scores - _finite(level)).exp()
        total = total + probs.masked_fill((level == -torch.inf)[..., None], 0.0).sum(1)
    return total / q.shape[1] @ words


def _scores(
    q: Tensor, k: Tensor, scale: float | None, bias: Tensor | None
) -> Iterator[tuple[slice, Tensor]]:
    """Groups of heads and their scores [B, H', N, S], fp32 or wider."""
    wide = torch.promote_types(q.dtype, torch.float32)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    size = max(1, _ELEMENTS // max(1, q.shape[0] * q.shape[2] * k.shape[2]))
    for start in range(0, q.shape[1], size):
        heads = slice(start, start + size)
        scores = (q[:, heads].to(wide) * factor) @ k[:, heads].to(wide).transpose(-1, -2)
        if bias is not None:
            scores = scores + (bias if bias.shape[1] == 1 else bias[:, heads]).to(wide)
        yield heads, scores


def _lse(scores: Tensor) -> Tensor:
    """Over the last axis; a row of −inf gives −inf, and its gradient is zero instead of NaN."""
    blind = (scores == -torch.inf).all(-1)
    safe = scores.masked_fill(blind[..., None], 0.0)
    return safe.logsumexp(-1).masked_fill(blind, -torch.inf)


def _finite(lse: Tensor) -> Tensor:
    """[B, H, N, 1] to subtract: a row that sees nothing keeps its −inf scores, exp gives zeros."""
    return lse.masked_fill(lse == -torch.inf, 0.0)[..., None]
