"""Disc attention by a dense mask: what every faster path is held against."""

from __future__ import annotations

import torch
from torch import Tensor

from ..rows import reference
from .layout import DiscLayout

__all__ = ["backward", "forward", "visible"]


def forward(
    q: Tensor, k: Tensor, v: Tensor, layout: DiscLayout, scale: float, key_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, D] and LSE [B, H, N], fp32 (for fp64 fp64)."""
    return reference.forward(q, k, v, lambda rows: visible(layout, rows, q.device), scale, key_bias)


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    layout: DiscLayout,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their dtypes and dbias [B, H, S], like the LSE, or None."""
    return reference.backward(
        dout, dlse, q, k, v, lse, lambda rows: visible(layout, rows, q.device), scale, key_bias
    )


def visible(layout: DiscLayout, rows: slice, device: torch.device) -> Tensor:
    """Which keys some query rows see: bool [rows, S]."""
    y, x, image = _places(layout, device)
    every = torch.arange(layout.keys, device=device)
    own = torch.arange(layout.queries, device=device)[rows]
    apart = (y[own, None] - y) ** 2 + (x[own, None] - x) ** 2
    of_image = ~image | (apart < layout.radius * layout.radius)
    of_text = every < layout.queries  # all but the pooled keys
    return torch.where(image[own, None], of_image, of_text)


def _places(layout: DiscLayout, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column (0 elsewhere) and whether it is an image token, of each key."""
    y, x = (torch.zeros(layout.keys, dtype=torch.float64, device=device) for _ in range(2))
    image = torch.zeros(layout.keys, dtype=torch.bool, device=device)
    for offset, height, width in layout.grids:
        cells = torch.arange(height * width, device=device)
        grid = slice(offset, offset + height * width)
        y[grid], x[grid], image[grid] = (cells // width).double(), (cells % width).double(), True
    return y, x, image
