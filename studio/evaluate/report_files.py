"""The files that every suite leaves beside its pictures and sheets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

__all__ = ["Report", "save_report"]


class Report(Protocol):
    """What a suite found."""

    def table(self) -> str:
        """Markdown."""

    def to_json(self) -> str:
        """One JSON object."""


def save_report(folder: Path, report: Report, verdicts: Iterable[Mapping[str, object]]) -> None:
    """`verdicts.jsonl`, a line each, `report.md` and `report.json`, into a folder that is there."""
    lines = (json.dumps(verdict, ensure_ascii=False) + "\n" for verdict in verdicts)
    (folder / "verdicts.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "report.md").write_text(report.table(), encoding="utf-8")
    (folder / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
