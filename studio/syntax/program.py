"""A prompt as a list of instructions, from which its text is read for any step and either side.

Nesting is a matter of jumps in the list, so that depth costs nothing and nothing recurses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "MOST",
    "SIDES",
    "Close",
    "Only",
    "Open",
    "Operation",
    "Run",
    "Side",
    "Text",
    "heard",
    "read_off",
]

MOST = 100.0
"""Weights are kept within ± this; 1.1 to the power of ten thousand brackets is no number."""

Side = Literal["source", "edit"]
SIDES: tuple[Side, ...] = ("source", "edit")
Run = tuple[str, float]
"""Characters and their weight."""


@dataclass(frozen=True)
class Text:
    """Characters that the encoder sees."""

    text: str


@dataclass(frozen=True)
class Open:
    """From here to its Close weights are multiplied by `weight`."""

    weight: float


@dataclass(frozen=True)
class Close:
    """The end of an Open."""


@dataclass(frozen=True)
class Only:
    """What stands before `end` is read on one side, in some steps; else the reader jumps there.

    side:  None = on both.
    steps: [first, last); last None = to the end.
    turn:  (i, n): in every n-th step, beginning with step i.
    """

    end: int = 0
    side: Side | None = None
    steps: tuple[int, int | None] = (0, None)
    turn: tuple[int, int] = (0, 1)

    def holds(self, side: Side, step: int) -> bool:
        """Whether it is read."""
        first, last = self.steps
        return (
            self.side in (None, side)
            and first <= step
            and (last is None or step < last)
            and step % self.turn[1] == self.turn[0]
        )


Operation = Text | Open | Close | Only


def read_off(
    program: Sequence[Operation], side: Side, step: int, part: tuple[int, int] | None = None
) -> tuple[Run, ...]:
    """The text, or a part of it, in runs of equal weight; no run is empty."""
    runs: list[tuple[list[str], float]] = []
    for _, text, weight in heard(program, side, step, part):
        if runs and runs[-1][1] == weight:
            runs[-1][0].append(text)
        else:
            runs.append(([text], weight))
    return tuple(("".join(texts), weight) for texts, weight in runs)


def heard(
    program: Sequence[Operation], side: Side, step: int, part: tuple[int, int] | None = None
) -> Iterator[tuple[int, str, float]]:
    """Place, characters and weight of every Text that is read."""
    weights = [1.0]
    at, end = (0, len(program)) if part is None else part
    while at < end:
        match program[at]:
            case Text(text):
                yield at, text, weights[-1]
            case Open(weight):
                weights.append(max(-MOST, min(MOST, weights[-1] * weight)))
            case Close():
                weights.pop()
            case Only() as only if not only.holds(side, step):
                at = only.end
                continue
        at += 1
