"""Cuts grids and runs of tokens into tiles of equal shape, without moving a token.

A tile of shape h × w has a row of five whole numbers in a table:

    token   index of its cell (0, 0); cell (i, j) is token + i · width + j
    y, x    coordinates of that cell in its grid;  y = −1: a run of tokens, which has none
    width   tokens from one row of the grid to the next
    end     one past the last token of the grid

A cell exists when x + j < width and its token < end. A run is a grid as wide as the tile: its
cells follow one another, h · w of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Shape", "cells", "grid_tiles", "run_tiles"]

Shape = tuple[int, int]


def grid_tiles(grids: Sequence[tuple[int, int, int]], shape: Shape) -> Tensor:
    """Tiles of all grids (offset, height, width), grid after grid, in raster order. [tiles, 5]."""
    tables = [torch.empty(0, 5, dtype=torch.int32)]
    for offset, height, width in grids:
        y = torch.arange(0, height, shape[0], dtype=torch.int32)[:, None]
        x = torch.arange(0, width, shape[1], dtype=torch.int32)[None, :]
        y, x = torch.broadcast_tensors(y, x)
        columns = (
            offset + y * width + x,
            y,
            x,
            torch.full_like(y, width),
            torch.full_like(y, offset + height * width),
        )
        tables.append(torch.stack([column.flatten() for column in columns], 1))
    return torch.cat(tables)


def run_tiles(runs: Sequence[tuple[int, int]], shape: Shape) -> Tensor:
    """Tiles of all runs (offset, length), run after run. [tiles, 5]."""
    tables = [torch.empty(0, 5, dtype=torch.int32)]
    for offset, length in runs:
        token = torch.arange(offset, offset + length, shape[0] * shape[1], dtype=torch.int32)
        row = [torch.full_like(token, x) for x in (-1, 0, shape[1], offset + length)]
        tables.append(torch.stack([token, *row], 1))
    return torch.cat(tables)


def cells(tiles: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Token of every cell and whether it exists, both [tiles, h · w]; absent cells are token 0."""
    token, _, x, width, end = tiles.long().unbind(1)
    cell = torch.arange(shape[0] * shape[1], device=tiles.device)
    i, j = cell // shape[1], cell % shape[1]
    tokens = token[:, None] + i * width[:, None] + j
    exists = (x[:, None] + j < width[:, None]) & (tokens < end[:, None])
    return torch.where(exists, tokens, 0), exists
