"""Attention under any mask, written out: scores of a few rows at a time over all keys.

The oracle of the faster paths: plain, exact, at a cost of N · S whatever the mask hides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["backward", "forward"]

_SCORES = 2**22  # elements of scores held at a time

Visible = Callable[[slice], Tensor]  # rows -> bool, broadcastable to [B, H, rows, S]


def forward(
    q: Tensor, k: Tensor, v: Tensor, visible: Visible, scale: float, key_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, D] in q's dtype, LSE [B, H, N] in fp32; for fp64 in fp64."""
    outs, lses = [], []
    for rows in _pieces(q, k):
        scores = _scores(q[:, :, rows], k, visible(rows), scale, key_bias)
        lse = scores.logsumexp(-1)
        probs = scores.softmax(-1).masked_fill((lse == -torch.inf)[..., None], 0.0)
        outs.append((probs @ v.to(probs.dtype)).to(q.dtype))
        lses.append(lse)
    return torch.cat(outs, 2), torch.cat(lses, 2)


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lse: Tensor,
    visible: Visible,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their dtypes and dbias [B, H, S], like the LSE, or None."""
    dq = []
    dk, dv = (torch.zeros(x.shape, dtype=lse.dtype, device=x.device) for x in (k, v))
    dbias = None if key_bias is None else lse.new_zeros(k.shape[:-1])
    for rows in _pieces(q, k):
        scores = _scores(q[:, :, rows], k, visible(rows), scale, key_bias)
        seen = lse[:, :, rows, None]  # −inf where only −inf scores are: those give 0
        probs = (scores - seen.masked_fill(seen == -torch.inf, 0.0)).exp()
        up = dout[:, :, rows].to(lse.dtype)
        dprobs = up @ v.to(lse.dtype).mT
        delta = (probs * dprobs).sum(-1, keepdim=True)
        if dlse is not None:
            delta = delta - dlse[:, :, rows, None]
        dscores = probs * (dprobs - delta)
        dq.append((dscores @ k.to(lse.dtype) * scale).to(q.dtype))
        dk += dscores.mT @ q[:, :, rows].to(lse.dtype) * scale
        dv += probs.mT @ up
        if dbias is not None:
            dbias += dscores.sum(2)
    return torch.cat(dq, 2), dk.to(k.dtype), dv.to(v.dtype), dbias


def _pieces(q: Tensor, k: Tensor) -> Iterator[slice]:
    step = max(1, _SCORES // max(1, q.shape[0] * q.shape[1] * k.shape[2]))
    return (slice(start, start + step) for start in range(0, q.shape[2], step))


def _scores(q: Tensor, k: Tensor, visible: Tensor, scale: float, key_bias: Tensor | None) -> Tensor:
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(wide) @ k.to(wide).mT * scale
    if key_bias is not None:
        scores = scores + key_bias[:, :, None]
    return scores.masked_fill(~visible, -torch.inf)
