"""The journal as a process that draws sees it: take a call, end its rows.

Calls with which a process vanished come last, and one with which ten did fails, so a picture that
brings its process down does not keep the others from being drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..jobs.leases import Leases
from .journal import BatchJournal, Item

__all__ = ["LEASE_S", "Claim", "Claims", "Outcome"]

LEASE_S = 60.0
"""How long a process is believed alive without a sign of life; it gives one twice as often."""

_TRIES = 10  # times a process may vanish with the same call
_NEXT = "SELECT number FROM calls WHERE state = 'waiting' ORDER BY tries, model, number LIMIT 1"


@dataclass(frozen=True)
class Claim:
    """A call that is to be drawn now.

    items: all its rows; those that have ended already are not drawn again but keep their place.
    """

    call: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Outcome:
    """What has come of a row. error: a sentence when it failed; trace: its traceback."""

    number: int
    pictures: int = 0
    seconds: float = 0.0
    figures: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    error: str | None = None
    trace: str | None = None


class Claims(Leases):
    """What one process may do with calls."""

    def __init__(self, journal: BatchJournal, worker: str, lease_s: float = LEASE_S) -> None:
        super().__init__(journal, "calls", "number", worker, lease_s)
        self._journal = journal

    def lost(self, row: Any) -> None:
        """A process vanished with the call, which waits again."""
        if row["tries"] >= _TRIES:
            self._journal.change(
                "UPDATE items SET state = 'failed', error = ? WHERE call = ? AND state = 'waiting'",
                *(f"{row['tries']} processes vanished while they drew it", row["number"]),
            )
            self._journal.change("UPDATE calls SET state = 'done' WHERE number = ?", row["number"])

    def take(self) -> Claim | None:
        """The next call; None when there is none, though others may be drawn elsewhere."""
        row = None if self.idle() else self._take(_NEXT)
        if row is None:
            return None
        return Claim(row["number"], tuple(self._journal.of_call(row["number"])))

    def take_many(self, most: int) -> list[Claim]:
        """The next calls, at most so many."""
        found: list[Claim] = []
        while len(found) < most and (claim := self.take()) is not None:
            found.append(claim)
        return found

    def busy(self) -> bool:
        """Whether calls are being drawn, here or elsewhere."""
        return bool(
            self._journal.one("SELECT EXISTS (SELECT 1 FROM calls WHERE state = 'running')")[0]
        )

    def end(self, call: int, outcomes: Iterable[Outcome]) -> bool:
        """Its rows have ended; a row without an outcome keeps the call waiting."""
        journal = self._journal
        with journal.transaction():
            if not self.holds(call):
                return False
            for outcome in outcomes:
                journal.change(
                    "UPDATE items SET state = ?, pictures = ?, seconds = ?, figures = ?, "
                    "files = ?, error = ?, trace = ? WHERE number = ? AND call = ?",
                    *("done" if outcome.error is None else "failed", outcome.pictures),
                    *(outcome.seconds, json.dumps(outcome.figures)),
                    *(json.dumps(outcome.files), outcome.error, outcome.trace),
                    *(outcome.number, call),
                )
            (left,) = journal.one(
                "SELECT COUNT(*) FROM items WHERE call = ? AND state = 'waiting'", call
            )
            ended = "'waiting', tries = 0" if left else "'done'"
            self._change(f"state = {ended}, worker = NULL, lease = NULL", call)
        return True
