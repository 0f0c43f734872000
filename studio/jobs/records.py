"""The journal's file: one connection that threads may share, its transactions, how a job ends."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from .job import Job, State
from .schema import connect

__all__ = ["Records", "to_job"]


class Records:
    """The rows in `folder/journal.sqlite`. Threads may share one; each process opens its own.

    clock: Unix seconds; the tests give their own.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.clock = folder, clock
        self._base = connect(folder)
        self._lock = RLock()

    def close(self) -> None:
        """Close the file. Jobs that run go on being believed alive until their lease ends."""
        with self._lock:
            self._base.close()

    def one(self, query: str, *values: object) -> Any:
        """The first row, or None."""
        with self._lock:
            return self._base.execute(query, values).fetchone()

    def all(self, query: str, *values: object) -> list[Any]:
        """All rows."""
        with self._lock:
            return self._base.execute(query, values).fetchall()

    def change(self, query: str, *values: object) -> int:
        """How many rows a statement changed."""
        with self._lock:
            return self._base.execute(query, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All calls within are written at once or not at all: thousands of `submit`, say.

        One within another is part of the outer one.
        """
        with self._lock:
            if self._base.in_transaction:
                yield
                return
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def end(
        self,
        job: int,
        state: State,
        worker: str | None = None,
        *,
        result: str | None = None,
        error: str | None = None,
    ) -> bool:
        """End a job; with `worker`, only when it is still that worker's."""
        with self.transaction():
            ended = self.change(
                "UPDATE jobs SET state = ?, result = COALESCE(?, result), error = ?, ended = ?, "
                "worker = NULL, lease = NULL WHERE id = ? AND state IN ('waiting', 'running') "
                "AND (?6 IS NULL OR worker = ?6)",
                *(state, result, error, self.clock(), job, worker),
            )
            if ended:
                self.change("DELETE FROM previews WHERE job = ?", job)
                self.change("DELETE FROM wishes WHERE job = ?", job)
        return bool(ended)


def to_job(row: sqlite3.Row) -> Job:
    """A row of the table `jobs`."""
    fields = {name: row[name] for name in Job.__dataclass_fields__}
    result = json.loads(row["result"]) if row["result"] else None
    return Job(
        **fields | {"state": State(row["state"]), "cancel": bool(row["cancel"]), "result": result}
    )
