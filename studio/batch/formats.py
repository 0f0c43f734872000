"""Reads manifests line by line: JSONL, CSV, YAML, Parquet and PIE-Bench's mapping.

What comes in may be hostile, so a line, a file that has to be read whole, and the depth of what it
holds have limits, and nothing in it is evaluated. A line that cannot be read is an entry with an
error; the others follow.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..stored import read_json

__all__ = ["Entry", "FORMATS", "format_of", "read_entries"]

FORMATS = ("jsonl", "csv", "yaml", "parquet", "pie-bench")

_LINE = 2**20  # bytes of a line
_WHOLE = 64 * 2**20  # bytes of a file that is read whole
_YAML = 4 * 2**20  # it takes a hundred times as long as JSON
_DEPTH = 16
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".parquet": "parquet",
    ".json": "pie-bench",
}


@dataclass(frozen=True)
class Entry:
    """What stands in one line. error: a sentence, when that is nothing that makes a row."""

    line: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def format_of(path: Path) -> str:
    """The format that a file's name tells; ValueError for none that is known."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise ValueError(
            f"manifest: {path.name!r} ends in none of {', '.join(_SUFFIXES)}; name its --format"
        )
    return found


def read_entries(path: Path, kind: str) -> Iterator[Entry]:
    """The entries of a file, in their order; ValueError where it cannot be read at all."""
    if kind not in FORMATS:
        raise ValueError(f"format: came {kind!r}; expected one of {', '.join(FORMATS)}")
    if kind == "parquet":
        yield from _parquet(path)
        return
    with path.open("rb") as file:
        if kind == "jsonl":
            yield from _jsonl(file)
        elif kind == "csv":
            yield from _csv(file, "\t" if path.suffix.lower() == ".tsv" else ",")
        elif kind == "yaml":
            yield from _yaml(file)
        else:
            yield from _mapping(file)


def _jsonl(file: BinaryIO) -> Iterator[Entry]:
    number = 0
    while line := file.readline(_LINE + 1):
        number += 1
        if len(line) > _LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(_LINE)
            yield Entry(number, error=f"it has more than {_LINE} bytes")
            continue
        if not line.strip():
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            yield _entry(number, read_json(text.strip(), "it"))
        except UnicodeDecodeError:
            yield Entry(number, error="it is not UTF-8")
        except ValueError as error:
            yield Entry(number, error=str(error).removesuffix(" (line 1)"))


def _entry(line: int, found: Any) -> Entry:
    if isinstance(found, str):
        return Entry(line, {"prompt": found})
    if not isinstance(found, dict):
        return Entry(line, error=f"it is {type(found).__name__}; expected an object or a text")
    odd = next((key for key in found if not isinstance(key, str)), None)
    if odd is not None:
        return Entry(line, error=f"it has the key {odd!r:.40}; expected texts for keys")
    return Entry(line, found)


def _csv(file: BinaryIO, delimiter: str) -> Iterator[Entry]:
    """An empty cell is none; one that begins as JSON's lists and objects do is JSON."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if not any(header) or len(set(header)) < len(header):
            raise ValueError("manifest: its first line has no names of columns, or one twice")
        for cells in rows:
            if not any(cells):
                continue
            if len(cells) != len(header):
                said = f"it has {len(cells)} cells; expected {len(header)}, as its first line"
                yield Entry(rows.line_num, error=said)
                continue
            try:
                pairs = zip(header, cells, strict=True)
                found = {name: _cell(name, cell) for name, cell in pairs if cell.strip()}
            except ValueError as error:
                yield Entry(rows.line_num, error=str(error))
            else:
                yield Entry(rows.line_num, found)
    except csv.Error as error:
        yield Entry(rows.line_num, error=f"{error}; what follows is not read")
    except UnicodeDecodeError:
        yield Entry(rows.line_num + 1, error="it is not UTF-8; what follows is not read")


_NUMBERS = ("seed", "seeds", "steps", "width", "height", "guidance")
_TEXTS = ("id", "prompt", "negative", "mode", "model", "input", "output", "edit")


def _cell(name: str, cell: str) -> Any:
    if name not in _TEXTS and cell.lstrip()[:1] in ("[", "{"):
        return read_json(cell, name)
    if name in _NUMBERS or name.endswith("_replace"):
        try:
            return float(cell) if "." in cell or "e" in cell.lower() else int(cell)
        except ValueError:
            raise ValueError(f"{name}: came {cell!r:.60}; expected a number") from None
    return cell


def _yaml(file: BinaryIO) -> Iterator[Entry]:
    """A list of mappings. Anchors are refused: nine of them can stand for a billion."""
    import yaml

    text = _all(file, _YAML)
    loading = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loading):  # lazily: stops before it costs anything
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH:
                raise ValueError(f"manifest: it is nested more than {_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ValueError(
                    f"manifest: it has an anchor in line {event.start_mark.line + 1}; YAML is "
                    "read without anchors"
                )
        loader = loading(text)
        root = loader.get_single_node()
        found = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1})"
        raise ValueError(f"manifest: it is not valid YAML{where}") from None
    if not isinstance(found, list):
        raise ValueError("manifest: it is no list; expected YAML that begins with '- '")
    for node, value in zip(root.value, found, strict=True):
        line = node.start_mark.line + 1
        try:
            yield _entry(line, read_json(json.dumps(value, allow_nan=False), "it"))
        except (TypeError, ValueError):
            yield Entry(line, error="it holds what JSON does not: a date, nan or infinity")


def _mapping(file: BinaryIO) -> Iterator[Entry]:
    """A list of objects, or one object whose keys are ids, as PIE-Bench's mapping file."""
    found = read_json(_all(file, _WHOLE), "manifest: it", most_keys=100_000)
    if isinstance(found, dict):
        if not all(isinstance(value, dict) for value in found.values()):
            raise ValueError("manifest: it maps ids to what are no objects; expected objects")
        for number, (key, value) in enumerate(found.items(), start=1):
            yield Entry(number, {"id": key} | value)
    elif isinstance(found, list):
        for number, value in enumerate(found, start=1):
            yield _entry(number, value)
    else:
        raise ValueError("manifest: it is no list and no object of entries")


def _parquet(path: Path) -> Iterator[Entry]:
    """One entry a row, numbered from 1; null is none."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise ValueError(
            "manifest: Parquet needs pyarrow: pip install 'attention-studio[parquet]'"
        ) from None
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Entry(number, {k: v for k, v in values.items() if v is not None})
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:120]
        raise ValueError(f"manifest: row {number + 1} of the Parquet file: {said}") from None


def _all(file: BinaryIO, most: int) -> str:
    data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"manifest: it has more than {most} bytes; expected JSONL beyond that")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("manifest: it is not UTF-8") from None
