"""The journal of a batch: its plan and what has come of each row, in the output folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jobs.records import Records
from ..recipe import Recipe
from .grouping import Numbered
from .row import Frame, Row
from .tables import TABLES

__all__ = ["BatchJournal", "Counts", "Item"]

_PAGE = 1000


@dataclass(frozen=True)
class Counts:
    """How many rows are in which state, and how many lines of the manifest make none."""

    waiting: int
    done: int
    failed: int
    refused: int

    @property
    def rows(self) -> int:
        """All that this journal has to do."""
        return self.waiting + self.done + self.failed


@dataclass(frozen=True)
class Item:
    """A row and what has come of it so far.

    state:   "waiting", "done", "failed".
    figures: one object an edit, or a picture where there is no edit; see `figures`.
    files:   names in its folder, without the receipt.
    kept:    whether the last selection took it.
    error:   one sentence; None unless failed.
    """

    number: int
    row: Row
    state: str
    call: int
    pictures: int
    figures: tuple[Mapping[str, Any], ...]
    files: tuple[str, ...]
    kept: bool
    error: str | None


class BatchJournal(Records):
    """The rows and calls of one batch, or of one of its shards."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(folder, clock=clock)
        with self.transaction():
            for statement in TABLES.split(";"):
                self.change(statement)
        self._frames: dict[int, Frame] = {}

    def noted(self, name: str) -> Any:
        """What stands under this name in the plan; None when nothing does."""
        row = self.one("SELECT value FROM plan WHERE name = ?", name)
        return None if row is None else json.loads(row["value"])

    def note(self, name: str, value: Any) -> None:
        """Write it there; None takes it away."""
        if value is None:
            self.change("DELETE FROM plan WHERE name = ?", name)
        else:
            self.change("INSERT OR REPLACE INTO plan VALUES (?, ?)", name, json.dumps(value))

    def clear(self) -> None:
        """Forget the plan; pictures stay where they are."""
        with self.transaction():
            for table in ("plan", "frames", "calls", "items", "refused"):
                self.change(f"DELETE FROM {table}")
        self._frames.clear()

    def add_frame(self, frame: Frame, needs: int) -> int:
        """Its number. needs: bytes of a row of it beside the weights."""
        row = self.one("SELECT number FROM frames WHERE digest = ?", frame.digest)
        if row is None:
            row = self.one(
                "INSERT INTO frames (digest, recipe, needs) VALUES (?, ?, ?) RETURNING number",
                *(frame.digest, frame.recipe.model_dump_json(), needs),
            )
        return int(row["number"])

    def add_call(
        self, number: int, rows: Sequence[Numbered], frame: int, model: int, *, mine: bool
    ) -> None:
        """A call and its rows; one that is not `mine` is another shard's."""
        if mine:
            self.change("INSERT INTO calls (number, model) VALUES (?, ?)", number, model)
        for place, row in rows:
            self.change(
                "INSERT INTO items (number, id, key, line, call, frame, prompts, seed, said, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(place, row.id, row.folder.casefold(), row.line, number, frame),
                *(json.dumps(row.prompts), row.seed, json.dumps(row.said)),
                "waiting" if mine else "elsewhere",
            )

    def line_of(self, row: Row) -> int | None:
        """The line of another row with the same folder."""
        found = self.one("SELECT line FROM items WHERE key = ?", row.folder.casefold())
        return None if found is None else int(found["line"])

    def refuse(self, line: int, error: str) -> None:
        """The line makes no row, for the reason that the sentence gives."""
        self.change("INSERT INTO refused VALUES (?, ?)", line, error)

    def refused(self, limit: int = 20) -> list[tuple[int, str]]:
        """The first of them."""
        rows = self.all("SELECT line, error FROM refused ORDER BY line LIMIT ?", limit)
        return [(int(row["line"]), str(row["error"])) for row in rows]

    def counts(self) -> Counts:
        """How far the batch is."""
        found = {
            state: int(self.one("SELECT COUNT(*) FROM items WHERE state = ?", state)[0])
            for state in ("waiting", "done", "failed")
        }
        (refused,) = self.one("SELECT COUNT(*) FROM refused")
        return Counts(**found, refused=int(refused))

    def pictures(self) -> int:
        """Drawn so far."""
        return int(self.one("SELECT COALESCE(SUM(pictures), 0) FROM items")[0])

    def items(
        self, *, after: int = -1, state: str | None = None, limit: int | None = None
    ) -> Iterator[Item]:
        """In the order of the manifest, without those of other shards; read page by page.

        after: only those with higher numbers.
        """
        last, left = after, limit
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            found = self.all(
                "SELECT * FROM items WHERE number > ?1 AND state != 'elsewhere' "
                "AND (?2 IS NULL OR state = ?2) ORDER BY number LIMIT ?3",
                *(last, state, page),
            )
            for row in found:
                yield self._item(row)
            if len(found) < page:
                return
            last = found[-1]["number"]
            left = None if left is None else left - page

    def of_call(self, call: int) -> list[Item]:
        """The rows of a call, in the order in which they are drawn."""
        rows = self.all("SELECT * FROM items WHERE call = ? ORDER BY number", call)
        return [self._item(row) for row in rows]

    def trace_of(self, number: int) -> str | None:
        """The traceback of a row that failed."""
        row = self.one("SELECT trace FROM items WHERE number = ?", number)
        return None if row is None else row["trace"]

    def retry_failed(self) -> int:
        """Put rows that failed, and their calls, back; how many there are."""
        with self.transaction():
            self.change(
                "UPDATE calls SET state = 'waiting', tries = 0 WHERE state = 'done' AND number IN "
                "(SELECT call FROM items WHERE state = 'failed')"
            )
            return self.change(
                "UPDATE items SET state = 'waiting', error = NULL, trace = NULL "
                "WHERE state = 'failed'"
            )

    def _item(self, row: Any) -> Item:
        frame = self._frames.get(row["frame"])
        if frame is None:
            found = self.one("SELECT recipe FROM frames WHERE number = ?", row["frame"])
            frame = Frame(Recipe.model_validate_json(found["recipe"]))
            if len(self._frames) > 256:
                self._frames.clear()
            self._frames[row["frame"]] = frame
        prompts, said = tuple(json.loads(row["prompts"])), tuple(json.loads(row["said"]))
        return Item(
            row["number"],
            Row(row["id"], row["line"], frame, prompts, row["seed"], said),
            row["state"],
            row["call"],
            row["pictures"],
            tuple(json.loads(row["figures"] or "[]")),
            tuple(json.loads(row["files"] or "[]")),
            row["state"] == "done" and bool(row["kept"]),
            row["error"],
        )
