"""The sheet of a run: each edit between its source and its plain picture, heat maps below."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from .evaluate.heat import overlay
from .receipt_text import receipt_text
from .result import Result
from .sheet import Cell, cell_sheet, contact_sheet

__all__ = ["run_sheet"]


def run_sheet(result: Result, words: Sequence[str] = ()) -> Image.Image:
    """One picture that shows a run.

    words: whose recorded maps are laid over the pictures; of an edit over source and edit.
    """
    count = len(result.images)
    if result.recipe.is_edit:
        return cell_sheet([row for e in range(1, count) for row in _edit_rows(result, e, words)])
    if result.plain:
        return cell_sheet([_compared(result, i) for i in range(count)])
    return contact_sheet(result.images, result.recipe.prompts, _judged(result) or None)


def _edit_rows(result: Result, edit: int, words: Sequence[str]) -> list[list[Cell | None]]:
    prompts, judged = result.recipe.prompts, _judged(result)
    said = receipt_text(result.receipts[edit - 1], maps=False)
    row: list[Cell | None] = [
        Cell(result.images[0], "Source", [prompts[0], *judged[:1]]),
        Cell(result.images[edit], "Edit", [prompts[edit], *judged[edit : edit + 1], said]),
    ]
    if result.plain:
        same = [prompts[edit], "the same noise"]
        row.append(Cell(result.plain[edit - 1], "Without controls", same))
    rows = [row]
    for word in words:
        pair = [_heat(result, word, 0, "source"), _heat(result, word, edit, "edit")]
        if any(pair):
            rows.append([*pair, None] if result.plain else pair)
    return rows


def _heat(result: Result, word: str, picture: int, where: str) -> Cell | None:
    heat = result.maps.get(word, (None,) * len(result.images))[picture]
    if heat is None:
        return None
    return Cell(overlay(result.images[picture], heat), f"“{word}” in the {where}")


def _compared(result: Result, i: int) -> list[Cell | None]:
    prompt, judged = result.recipe.prompts[i], _judged(result)
    said = receipt_text(result.receipts[i], subject="the controls", maps=False)
    return [
        Cell(result.plain[i], "Without controls", [prompt, "the same noise"]),
        Cell(result.images[i], "With controls", [prompt, *judged[i : i + 1], said]),
    ]


def _judged(result: Result) -> list[str]:
    return [verdict.score.text() for verdict in result.verdicts or ()]
