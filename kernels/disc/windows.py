"""The tokens cut into strips and tiles of queries, with the window of keys that each can reach.

A strip is a few columns of one grid over its whole height, a tile a few rows of a strip. Once the
key columns that a strip's discs touch are copied, the window of every tile is a plain view of
them: some of their rows. Windows are clipped, not moved, at the borders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .layout import DiscLayout

__all__ = ["Discs", "Grid", "Run", "Strip", "Window", "strips"]

Grid = tuple[int, int, int]  # offset, height, width

_ROWS, _COLUMNS = 4, 8  # of a tile: the fastest of those tried on one CPU core at radius 8

_KEPT = 2**16  # elements of a mask worth keeping: 256 KB in fp32


@dataclass(frozen=True)
class Run:
    """`count` tiles in a row along one axis, alike but for their place.

    The first has the queries [start, start + size) and reaches the keys [low, low + reached);
    each further one lies `size` on.
    """

    start: int
    size: int
    low: int
    reached: int
    count: int = 1

    @property
    def kind(self) -> tuple[int, int, int]:
        """What decides the disc in the window: the same for every tile of the run."""
        return self.size, self.reached, self.start - self.low

    def cut(self, most: int) -> Iterator[Run]:
        """The same tiles in runs of at most `most`."""
        for i in range(0, self.count, most):
            start, low = self.start + i * self.size, self.low + i * self.size
            yield replace(self, start=start, low=low, count=min(most, self.count - i))


@dataclass(frozen=True)
class Window:
    """The keys of one grid that a strip of queries can reach: some columns, and rows by tile."""

    grid: Grid
    columns: Run
    rows: tuple[Run, ...]

    def near(self, x: Tensor) -> Tensor:
        """The columns as a view [G, height, width', C] of all tokens x [G, S, C]."""
        return _columns(x, self.grid, self.columns.low, self.columns.reached)

    def of(self, run: Run, x: Tensor) -> Tensor:
        """The windows [G, count, K, C] of a run's tiles, views of x [G, height · width', C]."""
        wide = self.columns.reached
        end = run.low + (run.count - 1) * run.size + run.reached
        return x[:, run.low * wide : end * wide].unfold(1, run.reached * wide, run.size * wide).mT


@dataclass(frozen=True)
class Strip:
    """Query columns of a grid, the key ranges (offset, length) they all see, and their windows."""

    grid: Grid
    start: int
    width: int
    whole: tuple[tuple[int, int], ...]
    windows: tuple[Window, ...] = ()

    def rows(self, x: Tensor) -> Tensor:
        """The queries as a view [G, height, width', C] of all tokens x [G, N, C]."""
        return _columns(x, self.grid, self.start, self.width)

    def tiles(self, run: Run, x: Tensor) -> Tensor:
        """The tiles [G, count, M, C] of a run, views of x [G, height · width', C]."""
        first, many = run.start * self.width, run.size * self.width
        return x[:, first : first + run.count * many].unflatten(1, (run.count, many))


def strips(layout: DiscLayout) -> Iterator[Strip]:
    """Every query once; text is one strip that sees all but the pooled keys."""
    if layout.text[1]:
        offset, length = layout.text
        yield Strip((offset, 1, length), 0, length, ((0, layout.queries),))
    for grid in layout.grids:
        _, height, width = grid
        near = [other for other in layout.grids if not _covered(layout.limit, grid, other)]
        ranges = [layout.text, *([layout.pooled] if layout.pooled else [])]
        ranges += [(o, y * x) for o, y, x in layout.grids if (o, y, x) not in near]
        whole = tuple((start, length) for start, length in ranges if length)
        rows = {other: tuple(_runs(height, other[1], _ROWS, layout.reach)) for other in near}
        columns = {
            (other, run.start): run
            for other in near
            for alike in _runs(width, other[2], _COLUMNS, layout.reach)
            for run in alike.cut(1)
        }
        for start in range(0, width, _COLUMNS):
            windows = tuple(
                Window(other, columns[other, start], rows[other])
                for other in near
                if (other, start) in columns
            )
            yield Strip(grid, start, min(_COLUMNS, width - start), whole, windows)


class Discs:
    """The discs in the windows of tiles as additive masks; small ones are made once."""

    def __init__(self, layout: DiscLayout, like: Tensor) -> None:
        """Masks have the dtype and the device of `like`."""
        self._limit = layout.limit
        self._middle = layout.reach + max(_ROWS, _COLUMNS)  # no key of a window is further off
        apart = torch.arange(-self._middle, self._middle + 1, device=like.device).square()
        self._table = like.new_zeros(len(apart), len(apart))  # by dy, dx
        self._table.masked_fill_(apart[:, None] + apart > self._limit, -torch.inf)
        self._made: dict[tuple[int, ...], Tensor | None] = {}

    def mask(self, rows: Run, columns: Run) -> Tensor | None:
        """0 where seen, else −inf: [M, K]; None where a tile's queries see their whole window."""
        kind = (*rows.kind, *columns.kind)
        if kind in self._made:
            return self._made[kind]
        mask = self._make(rows, columns)
        if mask is None or mask.numel() <= _KEPT:
            self._made[kind] = mask
        return mask

    def _make(self, rows: Run, columns: Run) -> Tensor | None:
        part, farthest = self._table, 0
        for axis, (size, reached, ahead) in enumerate((rows.kind, columns.kind)):
            last = ahead + size - 1  # how far the last query lies beyond the first key
            part = part.narrow(axis, self._middle - last, reached + size - 1)
            part = part.unfold(axis, reached, 1)  # [last query .. first, keys]
            farthest += max(last, reached - 1 - ahead) ** 2
        return None if farthest <= self._limit else part.flip(0, 1).flatten(2).flatten(0, 1)


def _columns(x: Tensor, grid: Grid, start: int, width: int) -> Tensor:
    offset, height, whole = grid
    image = x[:, offset : offset + height * whole].unflatten(1, (height, whole))
    return image[:, :, start : start + width]


def _runs(queries: int, keys: int, size: int, reach: int) -> list[Run]:
    """Tiles of `size` queries along an axis, without those that reach none of the keys."""
    found: list[Run] = []
    for start in range(0, queries, size):
        tile = min(size, queries - start)
        low = max(0, start - reach)
        run = Run(start, tile, low, min(keys, start + tile + reach) - low)
        if run.reached <= 0:
            break
        if found and found[-1].kind == run.kind:
            found[-1] = replace(found[-1], count=found[-1].count + 1)
        else:
            found.append(run)
    return found


def _covered(limit: int, grid: Grid, other: Grid) -> bool:
    """Whether every token of a grid sees the whole of the other."""
    return sum((max(a, b) - 1) ** 2 for a, b in zip(grid[1:], other[1:], strict=True)) <= limit
