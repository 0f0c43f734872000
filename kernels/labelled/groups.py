"""Query rows that look at the same groups, each set with the keys it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_

import torch
from torch import Tensor

__all__ = ["Group", "groups", "take"]

_ROWS = 64  # words with fewer rows share a set, which then needs a mask


@dataclass(frozen=True, eq=False)
class Group:
    """rows [M] see keys [K] (indices): all of them, unless the group is mixed."""

    rows: Tensor
    keys: Tensor
    mixed: bool


def groups(see: Tensor, own: Tensor) -> Iterator[Group]:
    """All rows of see [N] that see any key of own [S], each once."""
    words, order = see.sort(stable=True)
    _, counts = words.unique_consecutive(return_counts=True)
    small: list[Tensor] = []
    for rows in order.split(counts.tolist()):
        if len(rows) >= _ROWS:
            yield from _group(rows, see, own)
            continue
        small.append(rows)
        if sum(map(len, small)) >= _ROWS:
            yield from _group(torch.cat(small), see, own)
            small = []
    if small:
        yield from _group(torch.cat(small), see, own)


def take(x: Tensor, index: Tensor) -> Tensor:
    """x [G, S, C] at ascending places of the second axis: a view where they follow each other."""
    first, last = int(index[0]), int(index[-1])
    if last - first + 1 == len(index):
        return x[:, first : last + 1]
    return x.index_select(1, index)


def _group(rows: Tensor, see: Tensor, own: Tensor) -> Iterator[Group]:
    rows = rows.sort().values
    words = see[rows].unique().tolist()
    keys = (own & reduce(or_, words)).nonzero()[:, 0]
    if len(keys):
        yield Group(rows, keys, mixed=len(words) > 1)
