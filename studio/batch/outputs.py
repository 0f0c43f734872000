"""Lists what a batch has drawn: manifest.out.jsonl, index.parquet, and quarantine.jsonl."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ..whole_files import whole
from .figures import NAMES, value_of
from .journal import BatchJournal, Item
from .places import place_of

__all__ = ["write_index", "write_manifest", "write_quarantine"]

_PAGE = 1000


def write_manifest(journal: BatchJournal, path: Path) -> None:
    """One JSON object a row, in the order of the manifest."""
    with whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        _lines(journal, file)


def write_index(journal: BatchJournal, path: Path) -> bool:
    """The finished rows as a table, figures of the first edit or picture in columns of their own.

    False, and no file, where pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("id", pa.string()),
            ("number", pa.int64()),
            ("kept", pa.bool_()),
            ("model", pa.string()),
            ("prompts", pa.list_(pa.string())),
            ("seed", pa.int64()),
            ("steps", pa.int32()),
            ("guidance", pa.float64()),
            ("folder", pa.string()),
            ("files", pa.list_(pa.string())),
            *((name, _kind(name, pa)) for name in NAMES),
        ]
    )
    rows = (_row(item) for item in journal.items(state="done"))
    with whole(path) as part, pq.ParquetWriter(part, schema) as writer:
        while page := list(islice(rows, _PAGE)):
            writer.write_table(pa.Table.from_pylist(page, schema=schema))
    return True


def write_quarantine(journal: BatchJournal, path: Path) -> None:
    """The rows that failed and why, with their tracebacks; no file when there is none."""
    if not journal.counts().failed:
        path.unlink(missing_ok=True)
        return
    with whole(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        for item in journal.items(state="failed"):
            found = {
                "id": item.row.id,
                "line": item.row.line,
                "error": item.error,
                "recipe": item.row.recipe.model_dump(mode="json"),
                "traceback": journal.trace_of(item.number),
            }
            file.write(json.dumps(found, ensure_ascii=False) + "\n")


def _lines(journal: BatchJournal, file: TextIO) -> None:
    for item in journal.items():
        row = item.row
        found: dict[str, Any] = {
            "id": row.id,
            "number": item.number,
            "state": item.state,
            "prompts": list(row.prompts),
            "seed": row.seed,
        }
        if item.state == "done":
            found |= {
                "kept": item.kept,
                "folder": place_of(item.number, row.folder),
                "files": list(item.files),
                "figures": [dict(figures) for figures in item.figures],
            }
        if item.error is not None:
            found["error"] = item.error
        file.write(json.dumps(found, ensure_ascii=False) + "\n")


def _row(item: Item) -> dict[str, Any]:
    recipe, first = item.row.frame.recipe, item.figures[0] if item.figures else {}
    return {
        "id": item.row.id,
        "number": item.number,
        "kept": item.kept,
        "model": recipe.model,
        "prompts": list(item.row.prompts),
        "seed": item.row.seed,
        "steps": recipe.steps,
        "guidance": recipe.guidance,
        "folder": place_of(item.number, item.row.folder),
        "files": list(item.files),
        **{name: value_of(first, name) for name in NAMES},
    }


def _kind(name: str, pa: Any) -> Any:
    if name == "effect":
        return pa.string()
    return pa.bool_() if name.endswith("_ok") else pa.float64()
