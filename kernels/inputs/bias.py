"""An additive weight per key, as the kernels take it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["expanded"]


def expanded(key_bias: Tensor | None, k: Tensor) -> Tensor | None:
    """key_bias as a view [B, H, S] in fp32 (with fp64 keys in fp64), or None; else ValueError."""
    if key_bias is None:
        return None
    shape = k.shape[:3]
    if not key_bias.is_floating_point() or key_bias.device != k.device:
        raise ValueError(
            f"key_bias: came {key_bias.dtype} on {key_bias.device}, "
            f"expected floating point numbers on {k.device} as k"
        )
    sizes = (1,) * (3 - key_bias.ndim) + tuple(key_bias.shape)
    if len(sizes) != 3 or any(a not in (1, b) for a, b in zip(sizes, shape, strict=True)):
        raise ValueError(
            f"key_bias: came shape {list(key_bias.shape)}, "
            f"expected one that broadcasts to {list(shape)}"
        )
    return key_bias.to(torch.promote_types(k.dtype, torch.float32)).expand(shape)
