"""`maps`: where the words of a prompt were looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    AllowDownload,
    AsJson,
    Device,
    Dtype,
    Folders,
    Guidance,
    Height,
    ModelName,
    Negative,
    Out,
    Quiet,
    Seed,
    Steps,
    Syntax,
    Width,
    Words,
    words_of,
)
from .pictures import new_session, picture_size, read_prompts, run_and_keep, summary

if TYPE_CHECKING:
    from ..word_maps import WordMap

__all__ = ["maps"]


def maps(
    prompt: Annotated[
        list[str], typer.Option("--prompt", metavar="P", help="What to draw; repeat for more.")
    ],
    words: Words = "",
    syntax: Syntax = True,
    model: ModelName = "emoji-sd",
    models_dir: Folders = None,
    negative: Negative = "",
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    width: Width = None,
    height: Height = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    allow_download: AllowDownload = False,
    out: Out = Path("out"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw pictures and the heat map of each word; without --words of all of them.

    Beside each picture: the maps over it, and the maps alone as 16-bit PNGs. Where the judge knows
    the thing that a word names, it is outlined, and the JSON has mass and intersection over union.
    """
    from ..recipe import Recipe
    from ..word_maps import save_word_maps

    session = new_session(model, device, dtype, models_dir, allow_download)
    size = picture_size(model, width, height, models_dir)
    texts, more, said = read_prompts(prompt, steps=steps, is_edit=False, syntax=syntax)
    base = Recipe(
        model=model,
        prompts=texts,
        negative=negative,
        seed=seed,
        steps=steps,
        guidance=guidance,
        size=size,
    )
    asked = words_of(words)
    if not asked:
        session.warm()
        asked = tuple(dict.fromkeys(word for text in texts for word in session.words(text)))
        if not asked:
            raise ValueError("words: the prompt has no word to look for; expected one")
    record = {"control": "record_maps", "words": asked}
    recipe = Recipe.model_validate(dict(base) | {"controls": (*more, record)})
    result, paths, _ = run_and_keep(session, recipe, out, sheet=False, said=said, quiet=quiet)
    found = save_word_maps(result, paths, asked)
    summary(
        result, paths, None, as_json=as_json, quiet=quiet, extra={"maps": [_json(m) for m in found]}
    )
    if not quiet:
        _print(found, to_stderr=as_json)


def _json(found: WordMap) -> dict[str, Any]:
    paths = {"overlay": str(found.overlay), "raw": str(found.raw)}
    figures = {"peak": found.peak, "mass": found.mass, "iou": found.iou}
    rounded = {name: None if v is None else round(v, 4) for name, v in figures.items()}
    return asdict(found) | paths | rounded


def _print(found: Sequence[WordMap], *, to_stderr: bool) -> None:
    to = sys.stderr if to_stderr else sys.stdout
    for one in found:
        judged = ""
        if one.mass is not None and one.iou is not None:
            judged = f", {one.mass:.0%} of it on the thing, overlap {one.iou:.2f}"
        print(f"{one.overlay}\n  map     {one.word!r}, peak {one.peak:.3f}{judged}", file=to)
