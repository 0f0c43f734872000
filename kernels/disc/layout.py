"""Where image grids, text and pooled keys lie in the token sequence, and how far a query sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DiscLayout"]


@dataclass(frozen=True)
class DiscLayout:
    """Ranges of one joint sequence; make it with `DiscLayout.of`, which checks it.

    grids:  (offset, height, width) of each image grid, rows after one another, in tokens.
    text:   (offset, length); length 0 = no text.
    radius: of the disc, in tokens: keys with dy² + dx² < radius² are seen.
    pooled: (offset, length) of further keys, after all query tokens, or None.
    """

    grids: tuple[tuple[int, int, int], ...]
    text: tuple[int, int]
    radius: float
    pooled: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        grids: Sequence[tuple[int, int, int]],
        text: tuple[int, int],
        radius: float,
        pooled: tuple[int, int] | None = None,
    ) -> DiscLayout:
        """The checked layout. ValueError when ranges overlap, leave gaps or are no ranges."""
        sizes = tuple((o, y, x) for o, y, x in (_whole("grids", grid, 3) for grid in grids))
        words = _pair("text", text)
        rest = None if pooled is None else _pair("pooled", pooled)
        if not sizes or any(y < 1 or x < 1 for _, y, x in sizes):
            raise ValueError(f"grids: came {sizes}, expected one or more of at least 1 × 1 tokens")
        radius = float(radius)
        if not (radius > 0 and math.isfinite(radius)):
            raise ValueError(f"radius: came {radius}, expected a finite number above 0")
        ranges = [(offset, y * x) for offset, y, x in sizes]
        ranges += [words] if words[1] else []
        end = 0
        for offset, length in sorted(ranges):
            if offset != end:
                raise ValueError(
                    f"grids, text: the ranges {sorted(ranges)} (offset, length) "
                    f"{'overlap' if offset < end else 'leave a gap'} at token {min(offset, end)}, "
                    "expected every token in exactly one"
                )
            end += length
        if rest is not None and rest[0] != end:
            raise ValueError(
                f"pooled: came offset {rest[0]}, expected {end}: pooled keys follow the queries"
            )
        return cls(sizes, words, radius, rest)

    @classmethod
    def of_numbers(
        cls, grids: Sequence[int], text: Sequence[int], pooled: Sequence[int], radius: float
    ) -> DiscLayout:
        """The layout of what `numbers` gave."""
        sizes = [(grids[i], grids[i + 1], grids[i + 2]) for i in range(0, len(grids), 3)]
        keys = (pooled[0], pooled[1]) if pooled else None
        return cls.of(sizes, (text[0], text[1]), radius, keys)

    @property
    def numbers(self) -> tuple[list[int], list[int], list[int], float]:
        """grids, text, pooled (empty = None) and radius as a torch operator takes them."""
        sizes = [size for grid in self.grids for size in grid]
        return sizes, list(self.text), list(self.pooled or ()), self.radius

    @property
    def queries(self) -> int:
        """Query tokens: text and all grids."""
        return self.text[1] + sum(y * x for _, y, x in self.grids)

    @property
    def keys(self) -> int:
        """Key tokens: those of the queries and the pooled ones."""
        return self.queries + (self.pooled[1] if self.pooled else 0)

    @property
    def limit(self) -> int:
        """The largest squared distance seen: dy² + dx² <= limit, in whole numbers."""
        far = max(y for _, y, _ in self.grids) + max(x for _, _, x in self.grids)
        seen = min(self.radius, far)  # no two tokens are further apart; radius² may overflow
        return math.ceil(seen * seen) - 1

    @property
    def reach(self) -> int:
        """The largest distance seen along one axis."""
        return math.isqrt(self.limit)


def _pair(name: str, values: Sequence[int]) -> tuple[int, int]:
    offset, length = _whole(name, values, 2)
    return offset, length


def _whole(name: str, values: Sequence[int], count: int) -> tuple[int, ...]:
    found = tuple(values)
    if len(found) != count or not all(type(x) is int and x >= 0 for x in found):
        kind = "(offset, height, width)" if count == 3 else "(offset, length)"
        raise ValueError(f"{name}: came {values}, expected {kind} in whole numbers from 0")
    return found
