"""One row a contender and direction: as a table, as JSON, as lines of a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Row", "append_csv", "table", "to_json"]

Stamp = dict[str, str | int]


@dataclass(frozen=True)
class Row:
    """None = not measured; note says why, and marks whatever is no plain measurement.

    useful_tflops:   by the pairs the mask keeps, the same pairs for every contender.
    executed_tflops: by the pairs that are multiplied, forward only.
    extra_mib:       memory at the peak, beyond the inputs.
    times_ours:      its time over that of our kernel in the same turn, median of all turns.
    error:           largest difference to the reference in fp64 on the small case, over the
                     largest value there.
    """

    suite: str
    implementation: str
    direction: str  # "forward" or "backward"
    grid: str
    radius: float | None
    text: int
    heads: int
    head_dim: int
    batch: int
    dtype: str
    ms_median: float | None = None
    ms_min: float | None = None
    ms_max: float | None = None
    repetitions: int = 0
    useful_tflops: float | None = None
    executed_tflops: float | None = None
    extra_mib: float | None = None
    times_ours: float | None = None
    error: float | None = None
    note: str = ""


def append_csv(path: Path, rows: Sequence[DataclassInstance], stamp: Stamp) -> None:
    """Adds rows to the file, which is made when missing. ValueError when its columns differ."""
    columns = [*(field.name for field in fields(rows[0])), *stamp]
    fresh = not path.exists() or path.stat().st_size == 0
    if not fresh:
        with path.open(newline="", encoding="utf-8") as file:
            there = next(csv.reader(file))
        if there != columns:
            raise ValueError(f"csv: {path} has the columns {there}; expected {columns}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if fresh:
            writer.writeheader()
        for row in rows:
            writer.writerow({**{k: _cell(v) for k, v in asdict(row).items()}, **stamp})


def to_json(rows: Sequence[DataclassInstance], stamp: Stamp) -> str:
    return json.dumps({"rows": [asdict(row) for row in rows], "stamp": stamp}, indent=2)


def table(rows: Sequence[Row], stamp: Stamp) -> Table:
    """For people; the CSV has every figure."""
    first = rows[0]
    shape = (
        f"{first.suite}: text {first.text}, {first.heads} heads of {first.head_dim}, batch "
        f"{first.batch}, {first.dtype}; {stamp['device']}, {stamp['threads']} threads"
    )
    slow = all((row.executed_tflops or row.useful_tflops or 0.0) < 1 for row in rows)
    unit, factor = ("GFLOP/s", 1e3) if slow else ("TFLOP/s", 1.0)
    out = Table(
        "grid", "radius", "", "implementation", "ms", "min–max", f"useful {unit}", "executed",
        "MiB", "× ours", "error", "note", title=shape, title_justify="left",
    )  # fmt: skip
    for row in rows:
        spread = "" if row.ms_min is None else f"{row.ms_min:.4g}–{row.ms_max:.4g}"
        rates = (
            None if x is None else x * factor for x in (row.useful_tflops, row.executed_tflops)
        )
        numbers = (*rates, row.extra_mib, row.times_ours, row.error)
        out.add_row(
            row.grid, _short(row.radius), row.direction, row.implementation,
            _short(row.ms_median), spread, *map(_short, numbers), row.note,
        )  # fmt: skip
    return out


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
