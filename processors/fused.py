"""The fused attention of a call, with its log-sum-exp where that is wanted and comes for free."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels.maps import attention_lse, fuses_lse

__all__ = ["fused"]


def fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float | None,
    bias: Tensor | None,
    *,
    wants_lse: bool,
) -> tuple[Tensor, Tensor | None]:
    """[B, H, N, D] with the bits of `F.scaled_dot_product_attention`, and [B, H, N] or None."""
    if wants_lse and fuses_lse(q, k, v, bias):
        return attention_lse(q, k, v, scale=scale, bias=bias)
    mask = None if bias is None else bias.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale), None
