"""Which rows one call of the pipeline draws: decided once, by the manifest alone.

The shape of a call decides its rounding, so that what is left after a crash must not be grouped
anew: a resumed batch makes the same calls as an undisturbed one, and so do its shards together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

from .row import Row

__all__ = ["Grouping", "Numbered"]

Numbered: TypeAlias = tuple[int, Row]
"""A row and its place in the batch, the first being 0."""

_OPEN = 64


class Grouping:
    """Gathers rows that fit into one call, as they come.

    most: rows of a call. Of the groups that are not full only the newest 64 are kept open, so a
          manifest whose like rows stand together needs no memory.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"batch-size: came {most}; expected 1 or more")
        self._most = most
        self._open: OrderedDict[tuple[str, tuple[str, ...]], list[Numbered]] = OrderedDict()

    def add(self, number: int, row: Row) -> Iterator[list[Numbered]]:
        """The groups that this row closes."""
        shape = row.frame.digest, row.prompts if row.frame.recipe.controls else ()
        group = self._open.setdefault(shape, [])
        group.append((number, row))
        self._open.move_to_end(shape)
        if len(group) == self._most:
            yield self._open.pop(shape)
        elif len(self._open) > _OPEN:
            yield self._open.popitem(last=False)[1]

    def rest(self) -> Iterator[list[Numbered]]:
        """The groups that are still open, the oldest first."""
        while self._open:
            yield self._open.popitem(last=False)[1]
