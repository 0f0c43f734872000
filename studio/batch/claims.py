"""The journal as a process that draws sees it: take a call, hold it by a lease, end its rows.

Whoever takes a call first puts back those whose process is gone: its lease has run out, or it ran
on this machine and is no more. Such calls come last, and one with which ten processes vanished
fails, so a picture that brings its process down does not keep the others from being drawn.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from .journal import BatchJournal, Item

__all__ = ["LEASE_S", "Claim", "Claims", "Outcome", "new_worker", "vanished"]

LEASE_S = 60.0
"""How long a process is believed alive without a sign of life; it gives one twice as often."""

_LOST = 10


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


def new_worker() -> str:
    """A name that no other process has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def vanished(worker: str) -> bool:
    """Whether a process of this machine is no more; False for those of other machines."""
    host, pid, _ = worker.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


class Claims:
    """What one process may do. What it says of a call that is not its own any more is ignored."""

    def __init__(self, journal: BatchJournal, worker: str, lease_s: float = LEASE_S) -> None:
        self.worker, self.lease_s = worker, lease_s
        self._journal = journal

    def take(self) -> Claim | None:
        """The next call; None when there is none, though others may be drawn elsewhere."""
        journal = self._journal
        with journal.transaction():
            self._put_back()
            row = journal.one(
                "UPDATE calls SET state = 'running', worker = ?, lease = ? WHERE number = ("
                "SELECT number FROM calls WHERE state = 'waiting' "
                "ORDER BY lost, model, number LIMIT 1) RETURNING number",
                *(self.worker, journal.clock() + self.lease_s),
            )
        if row is None:
            return None
        return Claim(row["number"], tuple(journal.of_call(row["number"])))

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

    def beat(self) -> None:
        """A sign of life."""
        self._journal.change(
            "UPDATE calls SET lease = ? WHERE worker = ? AND state = 'running'",
            *(self._journal.clock() + self.lease_s, self.worker),
        )

    def end(self, call: int, outcomes: Iterable[Outcome]) -> bool:
        """Its rows have ended; a row without an outcome keeps the call waiting."""
        journal = self._journal
        with journal.transaction():
            if not self._mine(call):
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
            self._set(call, "waiting" if left else "done")
        return True

    def release(self) -> None:
        """Give back whatever this process has taken; it was stopped, not lost."""
        self._journal.change(
            "UPDATE calls SET state = 'waiting', worker = NULL, lease = NULL "
            "WHERE worker = ? AND state = 'running'",
            self.worker,
        )

    def _mine(self, call: int) -> bool:
        return bool(
            self._journal.one(
                "SELECT EXISTS (SELECT 1 FROM calls "
                "WHERE number = ? AND worker = ? AND state = 'running')",
                *(call, self.worker),
            )[0]
        )

    def _set(self, call: int, state: str) -> None:
        self._journal.change(
            "UPDATE calls SET state = ?, worker = NULL, lease = NULL WHERE number = ?", state, call
        )

    def _put_back(self) -> None:
        journal, now = self._journal, self._journal.clock()
        for row in journal.all("SELECT * FROM calls WHERE state = 'running'"):
            if row["lease"] >= now and not vanished(row["worker"]):
                continue
            lost = row["lost"] + 1
            journal.change("UPDATE calls SET lost = ? WHERE number = ?", lost, row["number"])
            if lost >= _LOST:
                journal.change(
                    "UPDATE items SET state = 'failed', error = ? "
                    "WHERE call = ? AND state = 'waiting'",
                    *(f"{lost} processes vanished while they drew it", row["number"]),
                )
            self._set(row["number"], "done" if lost >= _LOST else "waiting")
