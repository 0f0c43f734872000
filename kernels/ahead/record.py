"""The committed figures: one CSV row a kernel, specialization and compute capability."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .figures import Figures

__all__ = ["Committed", "read_record", "write_record"]

Committed = dict[tuple[str, int], Figures]


def read_record(path: Path, *, version: str) -> Committed | None:
    """Figures by name and compute capability; None when there are none of this Triton version."""
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["triton"] == version]
    found = [_figures(row) for row in rows]
    return {(figures.name, figures.arch): figures for figures in found} or None


def write_record(path: Path, found: Iterable[Figures], *, version: str, commit: str) -> None:
    """Writes the whole file; commit says which sources the figures belong to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [field.name for field in fields(Figures)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, "triton", "commit"], lineterminator="\n")
        writer.writeheader()
        for figures in found:
            writer.writerow({**asdict(figures), "triton": version, "commit": commit})


def _figures(row: dict[str, str]) -> Figures:
    kinds: Any = {field.name: int if field.type == "int" else str for field in fields(Figures)}
    return Figures(**{name: kind(row[name]) for name, kind in kinds.items()})
