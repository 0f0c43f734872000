"""What every picture-making command does: run the recipe, keep the pictures, say what came out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..gallery import Gallery
from ..models import describe
from ..receipt_text import receipt_text
from ..report import report
from ..result import Result
from .progress import progress_bar
from .shell import one_line

if TYPE_CHECKING:
    from ..recipe import Recipe
    from ..session import Session

__all__ = ["new_session", "picture_size", "print_json", "read_prompts", "run_and_keep", "summary"]


def new_session(
    model: str, device: str, dtype: str, folders: Sequence[Path] | None, allow_download: bool
) -> Session:
    """The session of a command."""
    from ..session import Session

    return Session(
        model,
        device=device,
        dtype=dtype,
        folders=tuple(folders or ()),
        allow_download=allow_download,
    )


def picture_size(
    model: str, width: int | None, height: int | None, folders: Sequence[Path] | None
) -> tuple[int, int] | None:
    """(height, width); a side that is not given is the model's own. None = both are."""
    if width is None and height is None:
        return None
    side = describe(model, tuple(folders or ())).image_size or 512
    return (side if height is None else height, side if width is None else width)


def read_prompts(
    prompts: Sequence[str], *, steps: int, is_edit: bool, syntax: bool
) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Prompts, controls and warnings: what the syntax of other tools means, or the text itself."""
    if not syntax:
        return tuple(prompts), (), ()
    from ..syntax import apply_syntax

    read = apply_syntax(prompts, steps=steps, is_edit=is_edit)
    return read.prompts, read.controls, read.warnings


def run_and_keep(
    session: Session,
    recipe: Recipe,
    out: Path,
    *,
    plain: bool = False,
    sheet: bool | None = None,
    words: Sequence[str] = (),
    said: Sequence[str] = (),
    quiet: bool = False,
) -> tuple[Result, tuple[Path, ...], Path | None]:
    """The result, the paths of its pictures and of its sheet.

    sheet: None = when there is more than one picture to show.
    said:  warnings from before the run.
    """
    gallery = Gallery(out)  # better to fail before the work than after it
    with progress_bar("drawing", quiet=quiet) as progress:
        result = session.run(recipe, progress=progress, plain=plain)
    result = replace(result, warnings=(*said, *result.warnings))
    paths = gallery.save(result)
    wanted = len(paths) + len(result.plain) > 1 if sheet is None else sheet
    return result, paths, gallery.save_sheet(result, words) if wanted else None


def print_json(found: dict[str, Any]) -> None:
    """The one object on stdout; all ASCII where the terminal cannot do better."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    try:
        print(text)
    except UnicodeEncodeError:
        print(json.dumps(found, indent=2))


def summary(
    result: Result,
    paths: Sequence[Path],
    sheet: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    extra: dict[str, Any] | None = None,
) -> None:
    """JSON on stdout when asked for, else a few lines; warnings on stderr in any case."""
    if as_json:
        print_json(report(result, paths) | (extra or {}))
    for warning in result.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    if not quiet:
        _lines(result, paths, sheet, sys.stderr if as_json else sys.stdout)


def _lines(result: Result, paths: Sequence[Path], sheet: Path | None, to: TextIO) -> None:
    for i, (prompt, path) in enumerate(zip(result.recipe.prompts, paths, strict=True)):
        print(f"{path}\n  prompt  {prompt!r}", file=to)
        if result.verdicts is not None:
            print(f"  judge   {result.verdicts[i].score.text()}", file=to)
        at = i - 1 if result.recipe.is_edit else i
        if 0 <= at < len(result.receipts):
            subject = "the edit" if result.recipe.is_edit else "the controls"
            print(f"  receipt {receipt_text(result.receipts[at], subject=subject)}", file=to)
    if sheet is not None:
        print(f"{sheet}\n  all of them on one sheet", file=to)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.timings.items())
    print(spent, file=to)
