"""The index of a gallery: one SQLite row a picture, made anew from the pictures when lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Entry", "Index"]


@dataclass(frozen=True)
class Entry:
    """A picture of the gallery.

    path:    of the PNG.           created: seconds since 1970.
    run:     the recipe's digest: pictures of one run share it.
    index:   which of the recipe's pictures it is.
    role:    "picture", "source", "edit" or "plain".
    size:    (height, width) in pixels.
    """

    path: Path
    created: float
    run: str
    index: int
    role: str
    prompt: str
    model: str
    seed: int
    size: tuple[int, int]


_TABLE = """
create table if not exists pictures (
    path text primary key, created real, run text, number integer, role text,
    prompt text, model text, seed integer, height integer, width integer)
"""
_COLUMNS = "path, created, run, number, role, prompt, model, seed, height, width"
_ORDER = "order by created desc, run, number, role"


@dataclass(frozen=True)
class Index:
    """`file` holds the rows; paths in it are relative to its folder."""

    file: Path

    def add(self, entries: Iterable[Entry]) -> None:
        """Rows of pictures that are there again take the place of their old ones."""
        rows = [self._row(entry) for entry in entries]
        with self._open() as base:
            base.executemany(f"replace into pictures values ({','.join('?' * 10)})", rows)

    def newest(
        self, limit: int, offset: int, text: str | None, roles: Iterable[str]
    ) -> list[Entry]:
        """Newest first; `text` must stand in the prompt, whatever its case (of Latin letters)."""
        kinds = tuple(roles)
        where = [f"role in ({','.join('?' * len(kinds))})"]
        given: list[object] = [*kinds]
        if text:
            where.append("instr(lower(prompt), lower(?)) > 0")
            given.append(text)
        query = (
            f"select {_COLUMNS} from pictures where {' and '.join(where)} {_ORDER} limit ? offset ?"
        )
        with self._open() as base:
            return [self._entry(row) for row in base.execute(query, (*given, limit, offset))]

    def drop(self, paths: Iterable[Path]) -> None:
        """Forgets pictures."""
        with self._open() as base:
            base.executemany(
                "delete from pictures where path = ?", [(self._name(path),) for path in paths]
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file, timeout=30)) as base, base:
            base.execute(_TABLE)
            yield base

    def _row(self, entry: Entry) -> tuple[object, ...]:
        name, (height, width) = self._name(entry.path), entry.size
        head = (name, entry.created, entry.run, entry.index, entry.role)
        return (*head, entry.prompt, entry.model, entry.seed, height, width)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        path, created, run, index, role, prompt, model, seed, height, width = row
        size = (height, width)
        return Entry(self.file.parent / path, created, run, index, role, prompt, model, seed, size)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.file.parent).as_posix()
