"""The losses of all steps: a file with one line a step, and the mean of the last ones.

To read a number waits until a GPU has done all that is queued, so it is done every ten steps.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Losses"]

_HEAD = ("step", "loss", "flow", "teacher", "attention")
_EVERY = 10  # steps
_RECENT = 10


class Losses:
    """Goes on with `file` after its first `done` steps; None = only the mean is kept."""

    def __init__(self, file: Path | None, done: int) -> None:
        self._file = file
        self._next = done + 1
        self._waiting: list[Tensor] = []
        self._recent: list[float] = []
        if file is None:
            return
        rows = list(csv.reader(file.open(newline=""))) if file.is_file() else []
        kept = [row for row in rows[1:] if int(row[0]) <= done]  # others are made again
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="") as out:
            csv.writer(out).writerows([_HEAD, *kept])

    def add(self, values: Tensor) -> None:
        """Those of the next step: L and its parts, [4]."""
        self._waiting.append(values)
        if len(self._waiting) == _EVERY:
            self.write()

    def write(self) -> None:
        """What was added is in the file."""
        if not self._waiting:
            return
        lines = torch.stack(self._waiting).tolist()
        self._recent = [*self._recent, *(line[0] for line in lines)][-_RECENT:]
        if self._file is not None:
            with self._file.open("a", newline="") as out:
                csv.writer(out).writerows(
                    [step, *(f"{value:.6g}" for value in line)]
                    for step, line in enumerate(lines, self._next)
                )
        self._next += len(lines)
        self._waiting = []

    @property
    def mean(self) -> float:
        """Of the last ten losses; nan before there are any."""
        self.write()
        return sum(self._recent) / len(self._recent) if self._recent else float("nan")
