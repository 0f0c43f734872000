"""Shapes of what an attention op returns, and incoming gradients as its kernels take them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["empty_gradients", "empty_outputs", "incoming"]


def empty_outputs(q: Tensor) -> tuple[Tensor, Tensor]:
    """out [B, H, N, D] like q, LSE [B, H, N] in fp32 (for fp64 in fp64), both contiguous."""
    wide = torch.promote_types(q.dtype, torch.float32)
    return q.new_empty(q.shape), q.new_empty(q.shape[:3], dtype=wide)


def empty_gradients(
    q: Tensor, k: Tensor, v: Tensor, key_bias: Tensor | None, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dq, dk, dv, and dbias [B, H, S] like the LSE, without a key_bias an empty one."""
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    return dq, dk, dv, lse.new_empty((0,) if key_bias is None else k.shape[:3])


def incoming(dout: Tensor | None, out: Tensor) -> Tensor:
    """dout with its channels next to each other: a sum hands back an expanded one, an LSE none."""
    return torch.zeros_like(out) if dout is None else dout.contiguous()
