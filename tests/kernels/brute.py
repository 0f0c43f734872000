"""Attention by its formula in fp64, and the layouts it is tried on."""

from __future__ import annotations

import torch
from torch import Tensor

from attention_studio.kernels.disc import DiscLayout

LAYOUTS = {
    "text first, odd grid": DiscLayout.of([(5, 13, 11)], (0, 5), 3),
    "image first, pooled": DiscLayout.of([(0, 9, 20)], (180, 7), 2.5, (187, 6)),
    "two grids, text between": DiscLayout.of([(0, 5, 6), (34, 12, 17)], (30, 4), 4),
    "no text, itself only": DiscLayout.of([(0, 5, 6)], (0, 0), 1),
    "disc over all": DiscLayout.of([(2, 6, 5)], (0, 2), 100),
    "grids out of each other's reach": DiscLayout.of([(0, 17, 3), (51, 2, 30)], (0, 0), 2),
    "wide disc": DiscLayout.of([(3, 21, 19)], (0, 3), 9.5),
}


def disc_sees(layout: DiscLayout) -> Tensor:
    """bool [N, S]."""
    place = torch.full((layout.keys, 2), torch.nan, dtype=torch.float64)
    for offset, height, width in layout.grids:
        cells = [(y, x) for y in range(height) for x in range(width)]
        place[offset : offset + height * width] = torch.tensor(cells).double()
    apart = (place[: layout.queries, None] - place).square().sum(-1)
    sees = ~(apart >= layout.radius**2)  # nan compares False: text sees all and is seen by all
    text = place[: layout.queries, 0].isnan()
    sees[text, layout.queries :] = False
    return sees


def dense(
    q: Tensor, k: Tensor, v: Tensor, sees: Tensor, scale: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output and LSE, differentiable; a row that sees nothing is zero and has no gradient."""
    scores = q @ k.mT * scale
    if bias is not None:
        sees = sees & (bias != -torch.inf)[..., None, :]
        scores = scores + bias.masked_fill(bias == -torch.inf, 0.0)[..., None, :]
    some = sees.any(-1, keepdim=True)
    scores = scores.masked_fill(~sees & some, -torch.inf)
    lse = scores.logsumexp(-1).masked_fill(~some[..., 0], -torch.inf)
    return scores.softmax(-1).masked_fill(~some, 0.0) @ v, lse


def draw(
    queries: int,
    keys: int,
    D: int = 8,
    dtype: torch.dtype = torch.float64,
    B: int = 2,
    H: int = 3,
) -> tuple[Tensor, Tensor, Tensor]:
    """q [B, H, queries, D], k and v [B, H, keys, D]."""
    source = torch.Generator().manual_seed(queries + keys)
    shapes = ((B, H, n, D) for n in (queries, keys, keys))
    q, k, v = (torch.randn(s, generator=source, dtype=torch.float64).to(dtype) for s in shapes)
    return q, k, v


def draw_bias(*shape: int) -> Tensor:
    """Weights in fp64, every seventh key hidden."""
    bias = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bias[..., ::7] = -torch.inf
    return bias


def finite(lse: Tensor) -> Tensor:
    """For comparisons and sums: 0 for a row without keys."""
    return lse.masked_fill(lse == -torch.inf, 0.0)
