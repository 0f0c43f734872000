"""Attention that also tells its log-sum-exp, and head-mean columns of its map from it."""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference

__all__ = ["attention_lse", "columns", "fuses_lse", "lse"]


def fuses_lse(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether what `F.scaled_dot_product_attention` runs here hands out its LSE too."""
    wants_grad = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    known = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    return known and q.device.type == "cpu" and not wants_grad and v.shape[-1] == q.shape[-1]


def attention_lse(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q·kᵀ·scale + bias) v and its LSE: [B, H, N, D] and [B, H, N], natural log.

    The LSE is fp32, for fp64 fp64.

    Where `fuses_lse`, the output has the bits of `F.scaled_dot_product_attention`.
    q [B, H, N, D]; k, v [B, H, S, D]; bias broadcastable to [B, H, N, S]; scale None = 1/sqrt(D).
    """
    if not fuses_lse(q, k, v):
        return reference.attention_lse(q, k, v, scale=scale, bias=bias)
    if bias is not None:
        bias = bias.to(q.dtype).expand(*q.shape[:-1], k.shape[2])
    out, found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, False, attn_mask=bias, scale=scale
    )
    return out, found


def lse(q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None) -> Tensor:
    """The log-sum-exp alone, [B, H, N]."""
    return reference.lse(q, k, scale=scale, bias=bias)


def columns(
    q: Tensor,
    k: Tensor,
    weights: Tensor,
    lse: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Head-mean of chosen columns of the map, summed with weights: [B, N, W], precise as the LSE.

        out[b,i,w] = mean_h sum_t P[b,h,i,t] weights[b,t,w]
        P[b,h,i,t] = exp(q[b,h,i]·k[b,h,t] · scale + bias[b,h,i,t] − lse[b,h,i])

    k [B, H, T, D] are the chosen keys only; weights [B, T, W]; lse [B, H, N] is over all keys;
    bias broadcastable to [B, H, N, T].
    """
    return reference.columns(q, k, weights, lse, scale=scale, bias=bias)
