"""The journal as a worker sees it: take a job, say how far it is, end it.

A job that brings its worker down time and again fails in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .job import Job, State, canonical
from .leases import Leases
from .records import Records, to_job

__all__ = ["Claims"]

_TRIES = 3  # times a worker may be lost with the same job
_NEXT = """
SELECT first FROM (
  SELECT turn, (SELECT MIN(id) FROM jobs WHERE state = 'waiting' AND owner = o.owner) AS first
  FROM owners AS o
) WHERE first IS NOT NULL ORDER BY turn, first LIMIT 1
"""


class Claims(Leases):
    """What one worker may do with jobs."""

    def __init__(self, records: Records, worker: str, lease_s: float) -> None:
        super().__init__(records, "jobs", "id", worker, lease_s)

    def lost(self, row: Any) -> None:
        """A worker was lost with the job, which waits again."""
        if row["cancel"]:
            self._records.end(row["id"], State.cancelled)
        elif row["tries"] >= _TRIES:
            sentence = f"the worker was lost {row['tries']} times while it ran this job"
            self._records.end(row["id"], State.failed, error=sentence)

    def take(self) -> Job | None:
        """The next job: owners in turn, each owner's in the order of asking."""
        if self.idle():
            return None
        records = self._records
        with records.transaction():
            taken = self._take(_NEXT)
            if taken is None:
                return None
            row = records.one(
                "UPDATE jobs SET started = ?, done = 0, total = 0, result = NULL WHERE id = ? "
                "RETURNING *",
                *(records.clock(), taken["id"]),
            )
            records.change(
                "UPDATE owners SET turn = (SELECT MAX(turn) + 1 FROM owners) WHERE owner = ?",
                row["owner"],
            )
        return to_job(row)

    def progress(self, job: int, done: int, total: int) -> None:
        """So many of so many steps are done."""
        self._change("done = ?, total = ?", job, done, total)

    def so_far(self, job: int, result: Mapping[str, Any]) -> None:
        """What there is of the result already."""
        self._change("result = ?", job, canonical(result))

    def preview(self, job: int, picture: bytes) -> None:
        """How it looks so far: an encoded picture."""
        with self._records.transaction():
            if self.holds(job):
                self._records.change("INSERT OR REPLACE INTO previews VALUES (?, ?)", job, picture)

    def to_stop(self, job: int) -> bool:
        """Whether to stop: it was cancelled, or is not this worker's any more."""
        query = "SELECT cancel FROM jobs WHERE id = ?"
        return not self.holds(job) or bool(self._records.one(query, job)[0])

    def others_wait(self) -> bool:
        """Whether there are jobs that nobody does."""
        query = "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'waiting')"
        return bool(self._records.one(query)[0])

    def finish(self, job: int, result: Mapping[str, Any]) -> None:
        """It is done."""
        self._records.end(job, State.done, self.worker, result=canonical(result))

    def fail(self, job: int, error: str) -> None:
        """It failed, for the reason that the sentence gives."""
        self._records.end(job, State.failed, self.worker, error=error)

    def stopped(self, job: int) -> None:
        """It was cancelled, and the work on it has stopped."""
        self._records.end(job, State.cancelled, self.worker)
