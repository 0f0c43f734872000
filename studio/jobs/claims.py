"""The journal as a worker sees it: take a job, hold it by a lease, say how far it is, end it.

Whoever takes a job first puts back those whose lease has run out, so nothing that was running when
a process was killed is lost, and a job that brings its worker down time and again fails in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .job import Job, State, canonical
from .records import Records, to_job

__all__ = ["Claims"]

_TRIES = 3  # times a worker may be lost with the same job
_LOST = "state = 'running' AND lease < ?"
_NEXT = """
SELECT first FROM (
  SELECT turn, (SELECT MIN(id) FROM jobs WHERE state = 'waiting' AND owner = o.owner) AS first
  FROM owners AS o
) WHERE first IS NOT NULL ORDER BY turn, first LIMIT 1
"""


class Claims:
    """What one worker may do. What it says of a job that is not its own any more is ignored.

    worker:  a name that no other worker has.
    lease_s: how long it is believed alive without a sign of life.
    """

    def __init__(self, records: Records, worker: str, lease_s: float) -> None:
        self.worker, self.lease_s = worker, lease_s
        self._records = records

    def take(self) -> Job | None:
        """The next job: owners in turn, each owner's in the order of asking."""
        records, now = self._records, self._records.clock()
        if not records.one(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'waiting') OR "
            f"EXISTS (SELECT 1 FROM jobs WHERE {_LOST})",
            now,
        )[0]:
            return None
        with records.transaction():
            self._put_back(now)
            found = records.one(_NEXT)
            if found is None:
                return None
            row = records.one(
                "UPDATE jobs SET state = 'running', worker = ?, lease = ?, tries = tries + 1, "
                "started = ?, done = 0, total = 0, result = NULL WHERE id = ? RETURNING *",
                *(self.worker, now + self.lease_s, now, found["first"]),
            )
            records.change(
                "UPDATE owners SET turn = (SELECT MAX(turn) + 1 FROM owners) WHERE owner = ?",
                row["owner"],
            )
        return to_job(row)

    def beat(self, job: int) -> None:
        """Renew the lease."""
        self._set("lease = ?", job, self._records.clock() + self.lease_s)

    def progress(self, job: int, done: int, total: int) -> None:
        """So many of so many steps are done."""
        self._set("done = ?, total = ?", job, done, total)

    def so_far(self, job: int, result: Mapping[str, Any]) -> None:
        """What there is of the result already."""
        self._set("result = ?", job, canonical(result))

    def preview(self, job: int, picture: bytes) -> None:
        """How it looks so far: an encoded picture."""
        self._records.change(
            "INSERT OR REPLACE INTO previews SELECT id, ? FROM jobs "
            "WHERE id = ? AND worker = ? AND state = 'running'",
            *(picture, job, self.worker),
        )

    def to_stop(self, job: int) -> bool:
        """Whether to stop: it was cancelled, or is not this worker's any more."""
        return not self._records.one(
            "SELECT EXISTS (SELECT 1 FROM jobs "
            "WHERE id = ? AND worker = ? AND state = 'running' AND NOT cancel)",
            *(job, self.worker),
        )[0]

    def finish(self, job: int, result: Mapping[str, Any]) -> None:
        """It is done."""
        self._records.end(job, State.done, self.worker, result=canonical(result))

    def fail(self, job: int, error: str) -> None:
        """It failed, for the reason that the sentence gives."""
        self._records.end(job, State.failed, self.worker, error=error)

    def stopped(self, job: int) -> None:
        """It was cancelled, and the work on it has stopped."""
        self._records.end(job, State.cancelled, self.worker)

    def put_back(self, job: int) -> None:
        """Somebody else shall do it: this worker has to go."""
        self._set("state = 'waiting', worker = NULL, lease = NULL, tries = tries - 1", job)

    def _set(self, what: str, job: int, *values: float | str) -> None:
        where = "WHERE id = ? AND worker = ? AND state = 'running'"
        self._records.change(f"UPDATE jobs SET {what} {where}", *values, job, self.worker)

    def _put_back(self, now: float) -> None:
        for row in self._records.all(f"SELECT id, cancel, tries FROM jobs WHERE {_LOST}", now):
            if row["cancel"]:
                self._records.end(row["id"], State.cancelled)
            elif row["tries"] >= _TRIES:
                sentence = f"the worker was lost {row['tries']} times while it ran this job"
                self._records.end(row["id"], State.failed, error=sentence)
        self._records.change(
            f"UPDATE jobs SET state = 'waiting', worker = NULL, lease = NULL WHERE {_LOST}", now
        )
