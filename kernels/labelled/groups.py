"""Query rows that look at the same groups, each set with the keys it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Group", "groups", "take"]

_ROWS = 64  # words with fewer rows share a set, which then needs a mask


@dataclass(frozen=True, eq=False)
class Group:
    """rows [M] see keys [K] (indices), all of them where mask is None.

    mask: bool [M, K], True = hidden; at most 2 · 64 rows, so that it never grows with N · S.
    """

    rows: Tensor
    keys: Tensor
    mask: Tensor | None


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
    words = see[rows]
    shared = words.unique()
    any_word = 0
    for word in shared.tolist():
        any_word |= word
    keys = (own & any_word).nonzero()[:, 0]
    if len(keys):
        mask = (words[:, None] & own[keys]) == 0 if len(shared) > 1 else None
        yield Group(rows, keys, mask)
