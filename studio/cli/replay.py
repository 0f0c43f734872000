"""`replay`: a picture once more, from the recipe it carries."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..stored import read_stored
from .options import AllowDownload, AsJson, Device, Dtype, Folders, Quiet
from .pictures import new_session, summary
from .progress import progress_bar
from .shell import one_line

__all__ = ["replay"]

DIFFERS = 1


def replay(
    picture: Annotated[Path, typer.Argument(help="A PNG made here, or one with A1111's text.")],
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Another model than the recipe's.")
    ] = None,
    models_dir: Folders = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    allow_download: AllowDownload = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also keep the new pictures in DIR.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw a picture again and compare the pixels; exit code 1 when they differ."""
    from ..gallery import Gallery
    from ..replay import replay as again

    stored = read_stored(picture)
    recipe = stored.recipe
    if recipe is None:
        raise ValueError(f"picture: {'; '.join(stored.notes)}")
    if model is not None:
        recipe = recipe.model_copy(update={"model": model})
        stored = dataclasses.replace(stored, recipe=recipe)
    session = new_session(recipe.model, device, dtype, models_dir, allow_download)
    with progress_bar("drawing", quiet=quiet) as progress:
        found = again(stored, session, progress=progress)
    paths = Gallery(out).save(found.result) if out is not None else ()
    if as_json:
        extra = {
            "replay": {
                "identical": found.identical,
                "max_difference": found.difference,
                "notes": list(found.notes),
            }
        }
        summary(found.result, paths, None, as_json=True, quiet=True, extra=extra)
    else:
        for warning in found.result.warnings:
            print(f"warning: {one_line(warning)}", file=sys.stderr)
    for note in found.notes:
        print(f"note: {one_line(note)}", file=sys.stderr)
    if not quiet:
        print(_verdict(found.identical, found.difference), file=sys.stderr if as_json else None)
    if found.identical is not True:
        raise typer.Exit(DIFFERS)


def _verdict(identical: bool | None, difference: int | None) -> str:
    if identical:
        return "identical: every pixel is the same"
    if difference is None:
        return "not compared: the sizes differ"
    return f"different: by at most {difference} of 255"
