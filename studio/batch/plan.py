"""Makes the plan of a batch: every line read, checked and grouped into calls, once.

The plan is kept in the journal with a fingerprint of what it was made from. A run with another
manifest or other settings is refused rather than mixed into it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ..jobs.leases import is_held
from ..recipe import ALGORITHM_VERSION, Recipe
from .entries import Maker, problem
from .formats import Entry, read_entries
from .grouping import Grouping, Numbered
from .journal import BatchJournal
from .row import Frame, Row

__all__ = ["Settings", "plan_once"]

T = TypeVar("T")

_CHUNK = 2000  # entries a transaction
_LEASE_S = 60.0
_WAIT_S = 0.2


@dataclass(frozen=True)
class Settings:
    """What decides a plan.

    kind:      format of the manifest, one of `formats.FORMATS`.
    defaults:  fields of rows that do not say them.
    together:  rows that one call may draw.
    limit:     only so many rows; None = all.
    shard:     (i, n): of n shards number i, from 0; each takes every n-th call.
    """

    manifest: Path
    kind: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    id_field: str = "id"
    syntax: bool = True
    together: int = 1
    limit: int | None = None
    shard: tuple[int, int] = (0, 1)

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same when a batch goes on."""
        with self.manifest.open("rb") as file:
            digest = sha256()
            while block := file.read(2**20):
                digest.update(block)
        return {
            "manifest": digest.hexdigest(),
            "format": self.kind,
            "defaults": dict(self.defaults),
            "id column": self.id_field,
            "syntax": self.syntax,
            "batch size": self.together,
            "limit": self.limit,
            "shard": list(self.shard),
            "algorithm": ALGORITHM_VERSION,
        }


def plan_once(
    journal: BatchJournal,
    settings: Settings,
    worker: str,
    needs: Callable[[Recipe], int],
    *,
    anew: bool = False,
    told: Callable[[int], None] | None = None,
) -> bool:
    """Makes the plan unless it is there; True when this process made it.

    When another process makes it, waits for that one.

    needs: bytes that a recipe needs beside the weights; ValueError when its model cannot draw it.
    anew:  forget a plan that was made from something else.
    told:  how many lines have been read.

    ValueError for a plan that was made from something else, and for a manifest without rows.
    """
    fingerprint = json.loads(json.dumps(settings.fingerprint()))
    while True:
        with journal.transaction():
            if journal.noted("complete"):
                _compare(journal.noted("fingerprint"), fingerprint, anew)
                if not anew or journal.noted("fingerprint") == fingerprint:
                    return False
                journal.note("complete", None)
            if not _alive(journal, worker):
                journal.clear()
                _hold(journal, worker)
                break
        time.sleep(_WAIT_S)
    try:
        _make(journal, settings, worker, needs, told)
        if not journal.counts().rows and settings.shard[1] == 1:
            first = "; ".join(f"line {line}: {error}" for line, error in journal.refused(3))
            raise ValueError(f"manifest: no line of it makes a row; {first or 'it is empty'}")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk; a plan that is not complete is made anew
            journal.clear()
        raise
    with journal.transaction():
        journal.note("fingerprint", fingerprint)
        journal.note("complete", True)
        journal.note("planner", None)
    return True


def _compare(then: Mapping[str, Any], now: Mapping[str, Any], anew: bool) -> None:
    other = [name for name in now if then.get(name) != now[name]]
    if other and not anew:
        raise ValueError(
            f"{other[0].replace(' ', '-')}: it is not the one that the batch in this folder began "
            "with; go on with that, take another --out, or --replan and keep the pictures that "
            "are still right"
        )


def _alive(journal: BatchJournal, worker: str) -> bool:
    """Whether another process makes the plan now."""
    found = journal.noted("planner")
    if found is None or found["worker"] == worker:
        return False
    return is_held(found, journal.clock())


def _hold(journal: BatchJournal, worker: str) -> None:
    journal.note("planner", {"worker": worker, "lease": journal.clock() + _LEASE_S})


def _make(
    journal: BatchJournal,
    settings: Settings,
    worker: str,
    needs: Callable[[Recipe], int],
    told: Callable[[int], None] | None,
) -> None:
    maker = Maker(settings.defaults, id_field=settings.id_field, syntax=settings.syntax)
    writer = _Writer(journal, settings, needs)
    for entries in _chunks(read_entries(settings.manifest, settings.kind), _CHUNK):
        with journal.transaction():
            for entry in entries:
                writer.read(maker, entry)
            _hold(journal, worker)
        if told is not None:
            told(entries[-1].line)
        if writer.full:
            break
    with journal.transaction():
        writer.close()


class _Writer:
    """Numbers rows, groups them into calls, and writes both down."""

    def __init__(
        self, journal: BatchJournal, settings: Settings, needs: Callable[[Recipe], int]
    ) -> None:
        self._journal, self._needs = journal, needs
        self._grouping = Grouping(settings.together)
        self._shard, self._limit = settings.shard, settings.limit
        self._rows = self._calls = 0
        self._pending: dict[str, int] = {}  # folder -> line, of rows whose call is still open
        self._frames: dict[str, tuple[int, int]] = {}
        self._models: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many rows as were asked for."""
        return self._limit is not None and self._rows >= self._limit

    def read(self, maker: Maker, entry: Entry) -> None:
        """The rows of an entry; one that cannot be made is written down as refused."""
        try:
            for row in maker.rows(entry):
                if self.full:
                    return
                self._add(row)
        except ValueError as error:
            self._journal.refuse(entry.line, problem(error))

    def close(self) -> None:
        """Write what is left."""
        for group in self._grouping.rest():
            self._write(group)

    def _add(self, row: Row) -> None:
        key = row.folder.casefold()
        line = self._pending.get(key) or self._journal.line_of(row)
        if line is not None:
            self._journal.refuse(
                row.line, f"id: {row.id!r:.80} came in line {line} already; expected it once"
            )
            return
        self._frame(row.frame)
        self._pending[key] = row.line
        for group in self._grouping.add(self._rows, row):
            self._write(group)
        self._rows += 1

    def _write(self, group: list[Numbered]) -> None:
        frame, model = self._frame(group[0][1].frame)
        i, n = self._shard
        self._journal.add_call(self._calls, group, frame, model, mine=self._calls % n == i)
        self._calls += 1
        for _, row in group:
            del self._pending[row.folder.casefold()]

    def _frame(self, frame: Frame) -> tuple[int, int]:
        """Its number and its model's; ValueError when the model cannot draw it."""
        found = self._frames.get(frame.digest)
        if found is None:
            number = self._journal.add_frame(frame, self._needs(frame.recipe))
            found = number, self._models.setdefault(frame.recipe.model, number)
            if len(self._frames) > 4096:
                self._frames.clear()
            self._frames[frame.digest] = found
        return found


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
