"""Which finished rows are kept: those that a filter lets through, of like rows the best few.

As the makers of InstructPix2Pix's data did (Brooks et al. 2023, arXiv:2211.09800): many seeds of
one edit are drawn, poor ones filtered out, the best of each edit kept. Pictures of rows that are
not kept stay on the disk; another selection may take them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .expression import Expression, read_expression
from .journal import BatchJournal, Item

__all__ = ["Selection", "select"]

_PAGE = 1000


@dataclass(frozen=True)
class Selection:
    """keep: expression that every edit of a row must fulfil; None = all do.

    top: so many of the rows that differ in their seeds only; None = all.
    by:  expression, largest first, by which these are the best; of several edits the worst counts.
    """

    keep: str | None = None
    top: int | None = None
    by: str = "psnr_outside"

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """ValueError for what is no expression."""
        if self.keep is not None:
            read_expression(self.keep, "filter")
        read_expression(self.by, "keep-by")
        if self.top is not None and self.top < 1:
            raise ValueError(f"keep-top: came {self.top}; expected 1 or more")


def select(journal: BatchJournal, selection: Selection) -> int:
    """Marks the rows that are kept, and tells how many there are."""
    passes = None if selection.keep is None else read_expression(selection.keep, "filter")
    score = read_expression(selection.by, "keep-by")
    marks: list[tuple[bool, float | None, int]] = []

    def write() -> None:
        with journal.transaction():
            for mark in marks:
                journal.change("UPDATE items SET kept = ?, score = ? WHERE number = ?", *mark)
        marks.clear()

    for item in journal.items(state="done"):
        kept = passes is None or (bool(item.figures) and all(map(passes, item.figures)))
        marks.append((kept, _worst(item, score), item.number))
        if len(marks) == _PAGE:
            write()
    write()
    if selection.top is not None:
        journal.change(
            "UPDATE items SET kept = 0 WHERE number IN (SELECT number FROM ("
            "SELECT number, ROW_NUMBER() OVER ("
            "PARTITION BY frame, prompts ORDER BY score IS NULL, score DESC, number) AS place "
            "FROM items WHERE state = 'done' AND kept) WHERE place > ?)",
            selection.top,
        )
    (kept,) = journal.one("SELECT COUNT(*) FROM items WHERE state = 'done' AND kept")
    return int(kept)


def _worst(item: Item, score: Expression) -> float | None:
    found = [score(figures) for figures in item.figures]
    values = [float(value) for value in found if isinstance(value, int | float)]
    return min(values) if values and len(values) == len(found) else None
