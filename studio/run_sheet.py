"""The contact sheet of a run: each edit with its source and its plain picture, or all pictures."""

from __future__ import annotations

from PIL import Image

from .result import Result
from .sheet import contact_sheet

__all__ = ["run_sheet"]


def run_sheet(result: Result) -> Image.Image:
    """One picture that shows a run."""
    notes = [verdict.score.text() for verdict in result.verdicts or ()]
    return contact_sheet(result.images, result.recipe.prompts, notes or None)
