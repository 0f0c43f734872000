"""The same in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["merge"]


def merge(outs: Sequence[Tensor], lses: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """See api.py. Sums in fp32 (fp64 for fp64)."""
    parts = torch.stack(tuple(lses))
    lse = parts.logsumexp(0)
    shares = (parts - lse.nan_to_num(neginf=0.0)).exp()
    wide = torch.promote_types(outs[0].dtype, torch.float32)
    total = torch.zeros_like(outs[0], dtype=wide)
    for share, out in zip(shares, outs, strict=True):
        total = total + share[..., None].to(wide) * out.to(wide)
    return total.to(outs[0].dtype), lse
