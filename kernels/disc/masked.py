"""Disc attention of few tokens on a CPU: one fused attention under the table of its discs.

ours: such a table is small, and the fused attention was faster than tiles over heads of 32 to 128
channels: at 16 x 16 tokens 4 times, backward included 10 times.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .layout import DiscLayout
from .reference import visible

__all__ = ["attend", "few"]

_FEW = 768  # keys up to which it is the faster way
_FEW_TRAINED = 1280  # where a backward follows


def few(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether it is the faster way; a compiler gets the operator instead."""
    if q.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    trained = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    return k.shape[2] <= (_FEW_TRAINED if trained else _FEW)


def attend(q: Tensor, k: Tensor, v: Tensor, layout: DiscLayout, scale: float) -> Tensor:
    """Output [B, H, N, D]."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=_table(layout), scale=scale)


@lru_cache(maxsize=4)
def _table(layout: DiscLayout) -> Tensor:
    """Who sees whom, bool [N, S]."""
    with torch.inference_mode(False):  # else a later backward could not keep it
        return visible(layout, slice(None), torch.device("cpu"))
