"""The same in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["backward", "forward"]


def forward(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """See api.py. Sums in fp32 (fp64 for fp64), one part after the other."""
    most = _finite(lses.amax(0))
    shares = (lses - most).exp()
    whole = shares.sum(0)  # at least 1, or 0 for a row that sees nothing
    total = torch.zeros_like(outs[0], dtype=torch.promote_types(outs.dtype, lses.dtype))
    for out, share in zip(outs, shares, strict=True):
        total += _weighed(out, share)
    total /= whole.masked_fill(whole == 0, 1.0)[..., None]
    return total.to(outs.dtype), most + whole.log()


def backward(
    dout: Tensor, dlse: Tensor, outs: Tensor, lses: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor]:
    """douts, dlses: see api.py."""
    douts, dlses = torch.empty_like(outs), torch.empty_like(lses)
    wide = dout.to(torch.promote_types(outs.dtype, lses.dtype))
    for p, part in enumerate(outs):
        share = (lses[p] - _finite(lse)).exp()
        douts[p] = _weighed(wide, share)
        gain = (wide * (part.to(wide.dtype) - out)).sum(-1) + dlse
        dlses[p] = torch.where(share > 0, share * gain, 0.0)
    return douts, dlses


def _weighed(x: Tensor, share: Tensor) -> Tensor:
    """share · x, zero where the share is, whatever x holds there."""
    return torch.where(share[..., None] > 0, share[..., None] * x, 0.0)


def _finite(lse: Tensor) -> Tensor:
    return lse.masked_fill(lse == -torch.inf, 0.0)
