"""How far a batch is and how fast it goes, as its rows come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from .claims import Outcome
from .journal import Counts

__all__ = ["Pace", "Standing"]


@dataclass(frozen=True)
class Standing:
    """done, failed: rows, of all processes before this one began, and of this one.

    seconds_left: by the pace of this process.
    """

    done: int
    total: int
    failed: int
    pictures_a_minute: float
    seconds_left: float


class Pace:
    """Of one process."""

    def __init__(self) -> None:
        self._start = 0.0
        self._done = self._failed = self._pictures = 0

    def told(self, found: Sequence[Outcome], before: Counts) -> Standing:
        """What has come of rows. before: the counts when this process began."""
        if self._done == 0:
            self._start = monotonic() - sum(outcome.seconds for outcome in found)
        self._done += len(found)
        self._failed += sum(outcome.error is not None for outcome in found)
        self._pictures += sum(outcome.pictures for outcome in found if outcome.seconds)
        done, spent = before.done + before.failed + self._done, monotonic() - self._start
        return Standing(
            done=done,
            total=before.rows,
            failed=before.failed + self._failed,
            pictures_a_minute=60 * self._pictures / spent if spent > 0 else 0.0,
            seconds_left=spent / self._done * (before.rows - done),
        )
