"""Which tiles a tile meets whole and which in part: compressed lists for the kernels.

Owner tile t meets entries[start:middle] whole (every cell of theirs is seen by every row of t),
entries[middle:stop] in part (the kernel tests each pair) and no other. Owners are query tiles in
the forward pass and for dQ, key tiles for dK and dV; both predicates are symmetric.

disc:  met  when gap_y² + gap_x² <= limit         (the nearest cells of the two tiles)
       whole when far_y² + far_x² <= limit         (the farthest) and no listed cell is missing
bits:  met  when OR(owner) & OR(listed) ≠ 0
       whole when AND(owner) & AND(listed) ≠ 0     (sufficient: one group shared by all)
Disc lists depend on shapes only. Bit lists are built where the bits are, without a word from the
device to the host: room for every tile, used as far as needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .tiles import Shape, cells

__all__ = ["NONE", "PART", "WHOLE", "Lists", "bit_lists", "disc_kinds", "disc_lists"]

WHOLE, PART, NONE = 0, 1, 2
AHEAD = 2  # the kernels read this many entries past the end of a list


@dataclass(frozen=True, eq=False)
class Lists:
    """entries: int32, indices of tiles.  spans: int32 [1 or B, owners, 3] = start, middle, stop."""

    entries: Tensor
    spans: Tensor


def disc_lists(
    grids: Sequence[tuple[int, int, int]], limit: int, own: Shape, other: Shape
) -> Lists:
    """Lists of the grids' tiles of shape `own` over those of shape `other`, both in table order.

    limit: dy² + dx² <= limit is seen.
    The distance is that of the coordinates, whichever grid they belong to.
    """
    entries, spans, end = [], [], 0
    for _, height, width in grids:
        across = _extent(width, own[1])
        for rows in _extent(height, own[0]).unbind(0):
            found = [
                _row_of_tiles(rows, across, grid, limit, other) for grid in _numbered(grids, other)
            ]
            kinds = torch.cat([kind for kind, _ in found], 1)
            index = torch.cat([tiles for _, tiles in found])
            for kind in kinds.unbind(0):
                full, part = index[kind == WHOLE], index[kind == PART]
                spans.append((end, end + len(full), end + len(full) + len(part)))
                entries += [full, part]
                end = spans[-1][2]
    flat = torch.cat([*entries, torch.zeros(AHEAD, dtype=torch.long)])
    return Lists(flat.int(), torch.tensor([spans], dtype=torch.int32).reshape(1, -1, 3))


def disc_kinds(lists: Lists, others: int) -> Tensor:
    """The same as a table, WHOLE, PART or NONE of every pair. [owners, others] uint8."""
    kinds = torch.full((lists.spans.shape[1], others), NONE, dtype=torch.uint8)
    entries = lists.entries.long()
    for row, (start, middle, stop) in zip(kinds, lists.spans[0].tolist(), strict=True):
        row[entries[start:middle]] = WHOLE
        row[entries[middle:stop]] = PART
    return kinds


def bit_lists(
    own_bits: Tensor,
    other_bits: Tensor,
    own: tuple[Tensor, Shape],
    other: tuple[Tensor, Shape],
    disc: Tensor | None = None,
) -> Lists:
    """Lists from int32 bits per token ([1 or B, tokens]) of (tiles, shape) owners over others.

    disc: WHOLE, PART or NONE by a rule that must hold as well, for the first owners and others.
    """
    owner_any, owner_all = _words(own_bits, *own, absent=-1)
    other_any, other_all = _words(other_bits, *other, absent=0)
    met = owner_any[:, :, None] & other_any[:, None, :] != 0
    full = owner_all[:, :, None] & other_all[:, None, :] != 0
    kinds = torch.where(full, WHOLE, torch.where(met, PART, NONE)).to(torch.uint8)
    if disc is not None:
        some = kinds[:, : disc.shape[0], : disc.shape[1]]
        some.copy_(torch.maximum(some, disc))
    batch, owners, others = kinds.shape
    order = kinds.sort(dim=2, stable=True).indices.int()
    start = torch.arange(batch * owners, device=kinds.device).view(batch, owners) * others
    middle = start + (kinds == WHOLE).sum(2)
    stop = middle + (kinds == PART).sum(2)
    return Lists(
        torch.cat([order.flatten(), order.new_zeros(AHEAD)]),
        torch.stack([start, middle, stop], 2).int(),
    )


def _extent(length: int, step: int) -> Tensor:
    """First and last coordinate of every tile along an axis. [tiles, 2]."""
    first = torch.arange(0, length, step)
    return torch.stack([first, (first + step - 1).clamp_max(length - 1)], 1)


def _numbered(
    grids: Sequence[tuple[int, int, int]], shape: Shape
) -> list[tuple[Tensor, Tensor, int, Shape]]:
    """Extents of every grid's tile rows and columns, number of its first tile, its size."""
    numbered, first = [], 0
    for _, height, width in grids:
        down, across = _extent(height, shape[0]), _extent(width, shape[1])
        numbered.append((down, across, first, (height, width)))
        first += len(down) * len(across)
    return numbered


def _row_of_tiles(
    rows: Tensor, across: Tensor, grid: tuple[Tensor, Tensor, int, Shape], limit: int, other: Shape
) -> tuple[Tensor, Tensor]:
    """Kinds of one row of owner tiles over the tile rows of a grid within reach, and their indices.

    Only those rows are looked at, so that the work grows with the number of tokens.
    """
    down, columns, first, size = grid
    gap, far = _distances(rows[None], down)
    near = (gap[0] ** 2 <= limit).nonzero().flatten()
    gap_x, far_x = _distances(across, columns)
    least = gap[0, near, None] ** 2 + gap_x[:, None, :] ** 2
    most = far[0, near, None] ** 2 + far_x[:, None, :] ** 2
    complete = (down[near, 0] + other[0] <= size[0])[:, None] & (
        columns[:, 0] + other[1] <= size[1]
    )
    kinds = torch.where((most <= limit) & complete, WHOLE, torch.where(least <= limit, PART, NONE))
    index = first + near[:, None] * len(columns) + torch.arange(len(columns))
    return kinds.flatten(1), index.flatten()


def _distances(own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest distance of two extents along an axis, each [own, other]."""
    ahead = other[None, :, 0] - own[:, None, 1]
    behind = own[:, None, 0] - other[None, :, 1]
    return torch.maximum(ahead, behind).clamp_min(0), torch.maximum(ahead.abs(), behind.abs())


def _words(bits: Tensor, tiles: Tensor, shape: Shape, absent: int) -> tuple[Tensor, Tensor]:
    """OR and AND of the bits of each tile; an absent cell counts as `absent` in the AND."""
    token, exists = cells(tiles, shape)
    found = bits[:, token]
    return (
        _fold(found.masked_fill(~exists, 0), torch.bitwise_or),
        _fold(found.masked_fill(~exists, absent), torch.bitwise_and),
    )


def _fold(words: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Joins the last axis, whose length is a power of two, in halves."""
    while words.shape[-1] > 1:
        half = words.shape[-1] // 2
        words = join(words[..., :half], words[..., half:])
    return words[..., 0]
