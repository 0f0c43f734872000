"""`generate`: pictures from prompts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from ..gallery import Gallery
from ..models import describe
from ..recipe import Recipe
from ..report import report
from ..result import Result
from .options import (
    AsJson,
    Device,
    Dtype,
    Guidance,
    Height,
    ModelName,
    Negative,
    Out,
    Quiet,
    Seed,
    Steps,
    Width,
    progress_bar,
)

__all__ = ["generate"]


def generate(
    prompt: Annotated[
        list[str], typer.Option("--prompt", metavar="P", help="What to draw; repeat for more.")
    ],
    model: ModelName = "emoji-sd",
    negative: Negative = "",
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    width: Width = None,
    height: Height = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = Path("out"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw one picture a prompt; more than one also make a contact sheet."""
    size = None
    if width is not None or height is not None:
        side = describe(model).image_size or 512
        size = (side if height is None else height, side if width is None else width)
    recipe = Recipe(
        model=model,
        prompts=tuple(prompt),
        negative=negative,
        seed=seed,
        steps=steps,
        guidance=guidance,
        size=size,
    )
    from ..session import Session

    gallery = Gallery(out)  # better to fail before the work than after it
    with progress_bar("drawing", quiet=quiet) as progress:
        session = Session(model, device=device, dtype=dtype)
        result = session.run(recipe, progress=progress)
    paths = gallery.save(result)
    sheet = gallery.save_sheet(result) if len(paths) > 1 else None
    if as_json:
        print(json.dumps(report(result, paths), indent=2, ensure_ascii=False))
    _summary(result, paths, sheet, sys.stderr if as_json else sys.stdout, quiet=quiet)


def _summary(
    result: Result, paths: tuple[Path, ...], sheet: Path | None, to: TextIO, *, quiet: bool
) -> None:
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if quiet:
        return
    for i, (prompt, path) in enumerate(zip(result.recipe.prompts, paths, strict=True)):
        print(f"{path}\n  prompt  {prompt!r}", file=to)
        if result.verdicts is not None:
            print(f"  judge   {result.verdicts[i].score.text()}", file=to)
    if sheet is not None:
        print(f"{sheet}\n  all of them on one sheet", file=to)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.timings.items())
    print(spent, file=to)
