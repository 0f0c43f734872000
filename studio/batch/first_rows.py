"""The first rows of a batch as a program wants them: paths of pictures, and one receipt."""

from __future__ import annotations

import json
from typing import Any

from .journal import BatchJournal
from .places import RECEIPT, picture_names, place_of
from .run import Batch

__all__ = ["first_rows"]


def first_rows(batch: Batch, most: int) -> tuple[list[str], dict[str, Any]]:
    """Paths of at most so many pictures, source first in an edit, and the first row's record."""
    journal, images, first = BatchJournal(batch.journal_folder), list[str](), dict[str, Any]()
    try:
        for item in journal.items(state="done", limit=most):
            home = batch.out / place_of(item.number, item.row.folder)
            if not first:
                first = json.loads((home / RECEIPT).read_text(encoding="utf-8"))
            images += [str(home / name) for name in picture_names(item.files)]
    finally:
        journal.close()
    return images[:most], first
