"""Places in a picture, as boxes or painted masks, on any grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Grid

__all__ = ["Box", "Region", "check_region", "coverage", "covered"]

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture, y downwards."""

Region: TypeAlias = Box | Tensor
"""A box, or a painted mask [H, W] in [0, 1] of any size and the picture's shape."""


def check_region(region: Region, argument: str) -> None:
    """ValueError for what is no place in a picture."""
    if isinstance(region, Tensor):
        values = region.float()
        if region.ndim != 2 or not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(
                f"{argument} came as a mask of shape {list(region.shape)}; expected [H, W] with "
                "values in [0, 1]"
            )
        if not bool(values.any()):
            raise ValueError(
                f"{argument} came as an empty mask; expected one that covers something"
            )
        return
    numbers = tuple(region)
    if len(numbers) != 4 or not all(isinstance(x, int | float) for x in numbers):
        raise ValueError(f"{argument} came as {region!r}; expected (left, top, right, bottom)")
    left, top, right, bottom = numbers
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"{argument} came as {numbers}; expected 0 <= left < right <= 1 and "
            "0 <= top < bottom <= 1, fractions of the picture"
        )


def coverage(region: Region, grid: Sequence[int], argument: str) -> Tensor:
    """[h, w] fp32: the part of each cell that the region covers."""
    check_region(region, argument)
    height, width = grid
    if isinstance(region, Tensor):
        rows, columns = region.shape
        if abs(rows * width - columns * height) > max(rows, columns):  # a cell more or less
            raise ValueError(
                f"{argument} came as a mask of {rows} x {columns}; expected the shape of the "
                f"picture, {height} to {width}"
            )
        mask = region.to(torch.float32)[None, None]
        return F.interpolate(mask, (height, width), mode="area")[0, 0]
    left, top, right, bottom = region
    return _share(top, bottom, height)[:, None] * _share(left, right, width)


def covered(region: Region, grid: Grid | Sequence[int], argument: str) -> Tensor:
    """[h, w] bool: cells that are covered by half or more, of a small region its fullest ones."""
    part = coverage(region, grid, argument)
    return part >= min(0.5, float(part.max()))


def _share(start: float, end: float, cells: int) -> Tensor:
    edges = torch.arange(cells + 1, dtype=torch.float64) / cells
    inside = edges[1:].clamp_max(end) - edges[:-1].clamp_min(start)
    return (inside.clamp_min(0) * cells).float()
