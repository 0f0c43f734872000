"""The journal as those who ask see it: ask for a job, see how far it is, take it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .job import Job, State, canonical, job_key
from .records import Records, to_job

__all__ = ["FullError", "Journal"]


class FullError(ValueError):
    """An owner has as many jobs waiting as are allowed."""


class Journal(Records):
    """The jobs of one output folder."""

    def submit(
        self,
        recipe: Mapping[str, Any],
        options: Mapping[str, Any],
        owner: str,
        *,
        most_waiting: int | None = None,
        afresh: bool = False,
    ) -> Job:
        """Ask for a job. One that waits, runs or is done already is that one.

        most_waiting: FullError when so many jobs of this owner wait already; None = no limit.
        afresh:       a job that is done is done once more.
        """
        key = job_key(recipe, options)
        with self.transaction():
            known = self._newest(key)
            if known is not None and not known.state.ended:
                if known.owner != owner:
                    self.change("INSERT OR IGNORE INTO wishes VALUES (?, ?)", known.id, owner)
                return known
            if known is not None and known.state is State.done and not afresh:
                return known
            self._make_room(owner, most_waiting)
            row = self.one(
                "INSERT INTO jobs (key, owner, recipe, options, asked) VALUES (?, ?, ?, ?, ?) "
                "RETURNING *",
                *(key, owner, canonical(recipe), canonical(options), self.clock()),
            )
        return to_job(row)

    def get(self, job: int) -> Job:
        """The job with this id; KeyError when there is none."""
        row = self.one("SELECT * FROM jobs WHERE id = ?", job)
        if row is None:
            raise KeyError(job)
        return to_job(row)

    def find(self, key: str) -> Job | None:
        """The newest job with this key."""
        return self._newest(key)

    def unfinished(self, owner: str) -> tuple[Job, ...]:
        """This owner's jobs that wait or run, in the order of asking."""
        rows = self.all(
            "SELECT * FROM jobs WHERE state IN ('waiting', 'running') AND (owner = ?1 OR "
            "id IN (SELECT job FROM wishes WHERE owner = ?1)) ORDER BY id",
            owner,
        )
        return tuple(to_job(row) for row in rows)

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state."""
        rows = self.all("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
        found = {State(row["state"]): int(row["n"]) for row in rows}
        return {state: found.get(state, 0) for state in State}

    def ahead(self, job: Job) -> int:
        """How many jobs are likely to run before this one, the running ones included.

        Owners take turns: before a job with k of its owner's in front, each other owner has at
        most k + 1 turns.
        """
        if job.state is not State.waiting:
            return 0
        rows = self.all(
            "SELECT owner, COUNT(*) AS n, SUM(id < ?) AS before FROM jobs "
            "WHERE state = 'waiting' GROUP BY owner",
            job.id,
        )
        mine = next((int(row["before"]) for row in rows if row["owner"] == job.owner), 0)
        others = sum(min(int(row["n"]), mine + 1) for row in rows if row["owner"] != job.owner)
        (running,) = self.all("SELECT COUNT(*) AS n FROM jobs WHERE state = 'running'")
        return mine + others + int(running["n"])

    def cancel(self, job: int, owner: str) -> None:
        """Take back this owner's wish; when nobody else has it, the job is cancelled.

        One that waits is cancelled at once, one that runs within a step of its worker.
        """
        with self.transaction():
            row = self.one("SELECT * FROM jobs WHERE id = ?", job)
            if row is None or State(row["state"]).ended:
                return
            self.change("DELETE FROM wishes WHERE job = ? AND owner = ?", job, owner)
            heir = self.one("SELECT owner FROM wishes WHERE job = ?", job)
            if row["owner"] != owner:
                return
            if heir is not None:
                self.change("DELETE FROM wishes WHERE job = ? AND owner = ?", job, heir[0])
                self._queue_up(heir[0])
                self.change("UPDATE jobs SET owner = ? WHERE id = ?", heir[0], job)
            elif row["state"] == State.waiting:
                self.end(job, State.cancelled)
            else:
                self.change("UPDATE jobs SET cancel = 1 WHERE id = ?", job)

    def preview_of(self, job: int) -> bytes | None:
        """The last preview of a running job, an encoded picture."""
        row = self.one("SELECT picture FROM previews WHERE job = ?", job)
        return None if row is None else bytes(row["picture"])

    def _make_room(self, owner: str, most_waiting: int | None) -> None:
        if most_waiting is not None:
            (waiting,) = self.one(
                "SELECT COUNT(*) FROM jobs WHERE state = 'waiting' AND owner = ?", owner
            )
            if waiting >= most_waiting:
                raise FullError(
                    f"job: {waiting} of yours wait already; expected fewer than {most_waiting}, "
                    "so cancel one or wait"
                )
        self._queue_up(owner)

    def _queue_up(self, owner: str) -> None:
        """Who comes, or comes back, is not served before those who have waited meanwhile."""
        self.change(
            "INSERT INTO owners VALUES (?1, COALESCE("
            "(SELECT MIN(turn) FROM owners AS o WHERE EXISTS "
            "(SELECT 1 FROM jobs WHERE state = 'waiting' AND owner = o.owner)), "
            "(SELECT MAX(turn) FROM owners), 0)) "
            "ON CONFLICT (owner) DO UPDATE SET turn = MAX(turn, excluded.turn) WHERE NOT EXISTS "
            "(SELECT 1 FROM jobs WHERE state = 'waiting' AND owner = ?1)",
            owner,
        )

    def _newest(self, key: str) -> Job | None:
        row = self.one("SELECT * FROM jobs WHERE key = ? ORDER BY id DESC LIMIT 1", key)
        return None if row is None else to_job(row)
