"""Disc attention beside dense attention, FlexAttention in two orders of tokens, and NATTEN.

CLEAR (Liu et al. 2024, arXiv:2412.16112) runs FlexAttention over tokens in raster order; tiles of
8 × 16 tokens that follow one another waste fewer of its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..kernels.disc import disc_attention
from .case import Case, Impl
from .contender import Contender, absent
from .executed import executed_pairs
from .flex import flex

__all__ = ["flex_raster", "flex_tiled", "ours", "reference"]

TILE = (8, 16)


def ours(case: Case, given: Sequence[Tensor]) -> Contender:
    """`disc_attention` with the implementation of the case."""
    name = f"disc_attention ({case.kernels})"
    return Contender(name, _attend(case, case.kernels), tuple(given), executed=executed_pairs(case))


def reference(case: Case) -> Callable[..., Tensor]:
    """The oracle, for any precision."""
    return _attend(case, "reference")


def flex_raster(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """CLEAR's way: text first, then the image row by row."""
    text, (_, width) = case.text, case.grid

    def rule(i: Tensor, j: Tensor) -> Tensor:
        dy = (i - text) // width - (j - text) // width
        dx = (i - text) % width - (j - text) % width
        return (i < text) | (j < text) | (dy * dy + dx * dx < case.radius**2)

    return [flex("FlexAttention, raster order", case, given, rule)]


def flex_tiled(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """Image first in tiles of 8 × 16 tokens, then the text; permuting is not in the time."""
    name = "FlexAttention, 8x16 tiles"
    (height, width), (tall, wide) = case.grid, TILE
    if height % tall or width % wide:
        return [absent(name, f"the grid is no multiple of {tall} x {wide}")]
    across, size = width // wide, tall * wide

    def rule(i: Tensor, j: Tensor) -> Tensor:
        dy = _row(i) - _row(j)
        dx = _column(i) - _column(j)
        text = (i >= case.image) | (j >= case.image)
        return text | (dy * dy + dx * dx < case.radius**2)

    def _row(i: Tensor) -> Tensor:
        return i // size // across * tall + i % size // wide

    def _column(i: Tensor) -> Tensor:
        return i // size % across * wide + i % size % wide

    i = torch.arange(case.image, device=case.device)
    image = case.text + _row(i) * width + _column(i)
    order = torch.cat([image, torch.arange(case.text, device=case.device)])
    moved = [x[:, :, order] for x in given]
    note = "tokens permuted beforehand"
    return [flex(name, case, moved, rule, restore=order.argsort(), note=note)]


def _attend(case: Case, impl: Impl) -> Callable[..., Tensor]:
    grid = (case.text, *case.grid)
    return partial(disc_attention, grids=[grid], text=(0, case.text), radius=case.radius, impl=impl)
