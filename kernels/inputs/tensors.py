"""Queries, keys and values that belong together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["check", "scale_of"]

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_CHANNELS = 256


def check(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuses all but q [B, H, N, D], k, v [B, H, S, D] of one float dtype and device.

    D <= 256, N and S >= 1.
    """
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != 4:
            raise ValueError(f"{name}: came shape {list(x.shape)}, expected [B, H, tokens, D]")
        if x.dtype not in _DTYPES:
            raise ValueError(f"{name}: came {x.dtype}, expected float16, bfloat16, float32 or 64")
        if x.dtype != q.dtype or x.device != q.device:
            raise ValueError(
                f"{name}: came {x.dtype} on {x.device}, expected {q.dtype} on {q.device} as q"
            )
        if x.shape[3] > 1 and x.stride(3) != 1:
            raise ValueError(
                f"{name}: came strides {x.stride()}, expected the channels next to each other"
            )
        if not x.shape[2]:
            raise ValueError(f"{name}: came without tokens, expected at least 1")
    B, H, _, D = q.shape
    if not 1 <= D <= _CHANNELS:
        raise ValueError(f"q: came {D} channels, expected 1 to {_CHANNELS}")
    for name, x in (("k", k), ("v", v)):
        if x.shape != (B, H, k.shape[2], D):
            raise ValueError(
                f"{name}: came shape {list(x.shape)}, expected [{B}, {H}, {k.shape[2]}, {D}]"
            )


def scale_of(scale: float | None, q: Tensor) -> float:
    """What the scores are multiplied by, 1/sqrt(D) if None; else ValueError unless above 0."""
    if scale is None:
        return float(q.shape[3] ** -0.5)
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale: came {scale}, expected a finite number above 0")
    return float(scale)
