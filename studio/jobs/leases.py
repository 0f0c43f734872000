"""Who works at what: rows of a journal that a worker takes, holds by signs of life, and gives back.

A table of such rows has the columns `state` ('waiting', 'running', …), `worker`, `lease` (Unix
seconds until which the worker is believed alive) and `tries` (times it was taken and not given
back, so of a row that waits: times a worker was lost with it). Whoever takes a row first puts back
those of workers that are lost: their lease has run out, or they ran on this machine and are no
more.
"""

from __future__ import annotations

import os
import socket
from typing import Any
from uuid import uuid4

from .records import Records

__all__ = ["Leases", "is_held", "new_worker", "vanished"]


class Leases:
    """What one worker holds of a table; what it says of rows that are not its own is ignored.

    key:     the table's column of whole numbers that tells rows apart.
    worker:  a name that no other worker has.
    lease_s: how long it is believed alive without a sign of life.
    """

    def __init__(self, records: Records, table: str, key: str, worker: str, lease_s: float) -> None:
        self.worker, self.lease_s = worker, lease_s
        self._records, self._table, self._key = records, table, key

    def lost(self, row: Any) -> None:
        """Told of each row, as it was, that waits again since its worker was lost; may end it."""

    def idle(self) -> bool:
        """Whether there is nothing to take; asked often, so without the lock for writing."""
        query = f"SELECT EXISTS (SELECT 1 FROM {self._table} WHERE state = 'waiting')"
        return not self._records.one(query)[0] and not self._lost()

    def _take(self, first: str) -> Any:
        """The row whose key the query `first` finds among those that wait, or None."""
        records = self._records
        with records.transaction():
            for row in self._lost():
                records.change(
                    f"UPDATE {self._table} SET state = 'waiting', worker = NULL, lease = NULL "
                    f"WHERE {self._key} = ?",
                    row[self._key],
                )
                self.lost(row)
            return records.one(
                f"UPDATE {self._table} SET state = 'running', worker = ?, lease = ?, "
                f"tries = tries + 1 WHERE {self._key} = ({first}) RETURNING *",
                *(self.worker, records.clock() + self.lease_s),
            )

    def holds(self, row: int) -> bool:
        """Whether the row is this worker's."""
        query = f"SELECT worker FROM {self._table} WHERE {self._key} = ? AND state = 'running'"
        found = self._records.one(query, row)
        return found is not None and found["worker"] == self.worker

    def beat(self, row: int | None = None) -> None:
        """A sign of life: renews the lease of a row, or of all that this worker holds."""
        self._change("lease = ?", row, self._records.clock() + self.lease_s)

    def give_back(self, row: int | None = None) -> None:
        """Somebody else shall do it, or all of them: this worker was stopped, not lost."""
        self._change("state = 'waiting', worker = NULL, lease = NULL, tries = tries - 1", row)

    def _change(self, what: str, row: int | None, *values: object) -> None:
        """Set columns of a row, or of all, as far as they are this worker's."""
        one, key = ("", ()) if row is None else (f" AND {self._key} = ?", (row,))
        self._records.change(
            f"UPDATE {self._table} SET {what} WHERE state = 'running' AND worker = ?{one}",
            *(*values, self.worker, *key),
        )

    def _lost(self) -> list[Any]:
        now = self._records.clock()
        running = self._records.all(f"SELECT * FROM {self._table} WHERE state = 'running'")
        return [row for row in running if not is_held(row, now)]


def is_held(found: Any, now: float) -> bool:
    """Whether the worker of what has a `worker` and a `lease` is believed alive."""
    return bool(found["lease"] >= now) and not vanished(found["worker"])


def new_worker() -> str:
    """A name that no other worker has; `vanished` can read it."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


def vanished(worker: str) -> bool:
    """Whether a process of this machine is no more; False for those of other machines."""
    host, _, number = worker.rpartition(":")[0].rpartition(":")
    if os.name == "nt" or host != socket.gethostname() or not number.isdecimal():
        return False  # signal 0 would end a process of Windows
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
