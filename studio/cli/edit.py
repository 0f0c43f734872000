"""`edit`: a picture, and the same picture with other words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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

__all__ = ["Mode", "edit"]

_RECORDED = 10


class Mode(StrEnum):
    """Kinds of edits, as in `edit_recipe`, which costs a second to import."""

    auto = "auto"
    swap = "swap"
    refine = "refine"
    reweight = "reweight"


def edit(
    prompt: Annotated[str, typer.Option("--prompt", metavar="P", help="What the source shows.")],
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="P2", help="What the edit shall show; repeat for more."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="swap: other words, as many of them; refine: words added or taken away; reweight: "
            "words made stronger or weaker; auto: swap where it can be, else refine."
        ),
    ] = Mode.auto,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD=X", help="How much a word counts, such as red=1.5; repeatable."),
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="Outside its place the source stays; repeatable."),
    ] = None,
    cross_replace: Annotated[
        float | None,
        typer.Option(
            help="How long the edit looks at the text as the source does, 0 to 1. Default: 0.8; "
            "for FLUX, Stable Diffusion 3 and Qwen-Image 0.4, and 0 where words are added."
        ),
    ] = None,
    self_replace: Annotated[
        float, typer.Option(help="How long the edit keeps the source's layout, 0 to 1.")
    ] = 0.4,
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
    """Draw a source and its edits, and what the same words give without controls.

    Pictures come in the order of the prompts, source first; a sheet shows them side by side.
    """
    from ..edit_recipe import edit_recipe

    asked = words_of(words)
    texts, more, said = read_prompts(
        (prompt, *(to or ())), steps=steps, is_edit=True, syntax=syntax
    )
    session = new_session(model, device, dtype, models_dir, allow_download)
    options: dict[str, Any] = {
        "further": more,
        "mode": mode.value,
        "weights": _weights(weight or ()),
        "blend": blend or (),
        "cross_replace": cross_replace,
        "folders": tuple(models_dir or ()),
        "self_replace": self_replace,
        "model": model,
        "negative": negative,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "size": picture_size(model, width, height, models_dir),
    }
    recipe = edit_recipe(texts[0], texts[1:], words=asked, **options)  # bad input before the model
    session.warm()
    recorded = (*asked, *_worth_recording(session.words, recipe.prompts))
    recipe = edit_recipe(texts[0], texts[1:], words=recorded, **options)
    result, paths, sheet = run_and_keep(
        session, recipe, out, plain=True, words=asked, said=said, quiet=quiet
    )
    summary(result, paths, sheet, as_json=as_json, quiet=quiet)


def _weights(given: Sequence[str]) -> dict[str, float]:
    """ "red=1.5" -> {"red": 1.5}; the last = counts, since a word may hold one."""
    found = {}
    for text in given:
        word, _, number = text.rpartition("=")
        try:
            found[word] = float(number)
        except ValueError:
            word = ""
        if not word.strip():
            raise ValueError(f"weight: {text!r} came; expected a word and a number, as in red=1.5")
    return found


def _worth_recording(
    read: Callable[[str], tuple[str, ...]], prompts: Sequence[str]
) -> tuple[str, ...]:
    """Words whose maps the receipt compares: of the source, but not "a", "on", "to"."""
    words = (word for prompt in prompts[:1] for word in read(prompt))
    return tuple(word for word in words if len(word) > 2 or not word.isascii())[:_RECORDED]
