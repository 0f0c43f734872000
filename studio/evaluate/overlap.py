"""Whether a word's attention map lies on a thing: intersection over union, mass inside a mask.

A map m is cut at m > min + FRACTION (max - min). FRACTION is the threshold that served best in DAAM
(Tang et al. 2022, arXiv:2210.04885), set before any model of this project was measured; ours: it is
a part of the map's range, not of its maximum, since maps of small models stand on a high floor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own name for it

__all__ = ["FRACTION", "area_mask", "cut", "iou", "mass", "upsampled"]

FRACTION = 0.4


def cut(heat: Tensor, fraction: float = FRACTION) -> Tensor:
    """Bool `[h, w]`: where a map `[h, w]` is high; nothing where it is the same everywhere."""
    low, high = heat.min(), heat.max()
    return heat > low + fraction * (high - low)


def area_mask(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """The part of each cell of `grid` that a bool mask `[H, W]` covers, in [0, 1]."""
    return F.adaptive_avg_pool2d(mask.float()[None, None], grid)[0, 0]


def upsampled(heat: Tensor, size: tuple[int, int]) -> Tensor:
    """A map `[h, w]` at the picture's size, bilinear."""
    return F.interpolate(heat[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def iou(high: Tensor, covered: Tensor) -> float:
    """Intersection over union of a cut map and a mask, both `[h, w]`.

    ours: a cell is the thing's when at least half as much of it is covered as of the fullest cell,
    so that things thinner than a cell have cells too.
    """
    full = covered.max()
    inside = covered >= 0.5 * full if full > 0 else torch.zeros_like(high)
    union = (high | inside).sum()
    return float((high & inside).sum() / union) if union > 0 else 0.0


def mass(heat: Tensor, covered: Tensor) -> float:
    """The part of a map's sum that lies inside a mask."""
    return float((heat * covered).sum() / heat.sum())
