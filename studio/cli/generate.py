"""`generate`: pictures from prompts, steered or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..recipe import Recipe
from ..stored import read_json, read_stored
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
    was_said,
)
from .pictures import new_session, picture_size, read_prompts, run_and_keep, summary
from .recipe_file import read_recipe

__all__ = ["generate"]


def generate(
    ctx: typer.Context,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="P", help="What to draw; repeat for more."),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            metavar="NAME",
            help='A control or preset by name, or as JSON: {"control": "keep_layout", …}.',
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A recipe as JSON, - for stdin, or a picture that carries one; other options "
            "override it.",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also draw without controls, and say what differs.")
    ] = False,
    finer: Annotated[
        list[str] | None,
        typer.Option(
            "--finer",
            metavar="FACTOR",
            help="Enlarge by this factor and draw over it; repeatable. Also as JSON: "
            '{"factor": 2, "strength": 0.7, "radius": 16}, with windows of 16 tokens (FLUX, SD 3).',
        ),
    ] = None,
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
    """Draw one picture a prompt; more than one also make a contact sheet."""
    given: dict[str, Any] = {} if recipe is None else read_recipe(recipe, _carried)
    asked: dict[str, Any] = {
        "model": model,
        "negative": negative,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
    }
    given = {
        **({} if recipe is not None else asked),
        **given,
        **{name: value for name, value in asked.items() if was_said(ctx, name)},
    }
    if "prompts" not in given and not prompt:
        raise typer.BadParameter("--prompt or --recipe is needed")
    if control:
        given["controls"] = tuple(
            read_json(text, "control: it") if text.lstrip().startswith("{") else text
            for text in control
        )
    if finer:
        given["finer"] = tuple(
            read_json(text, "finer: it") if text.lstrip().startswith("{") else {"factor": text}
            for text in finer
        )
    said: tuple[str, ...] = ()
    if prompt:
        given["prompts"] = tuple(prompt)
        drawn = Recipe.model_validate(given)  # what is wrong without the syntax is wrong with it
        given["prompts"], more, said = read_prompts(
            prompt, steps=drawn.steps, is_edit=drawn.is_edit, syntax=syntax
        )
        given["controls"] = (*drawn.controls, *more)
    session = new_session(str(given.get("model", model)), device, dtype, models_dir, allow_download)
    if width is not None or height is not None:
        given["size"] = picture_size(session.model, width, height, models_dir)
    made = Recipe.model_validate(given)
    if compare and not made.controls:
        raise ValueError("compare: the recipe has no controls to compare with; name a --control")
    result, paths, sheet = run_and_keep(session, made, out, plain=compare, said=said, quiet=quiet)
    summary(result, paths, sheet, as_json=as_json, quiet=quiet)


def _carried(picture: Path) -> dict[str, Any]:
    stored = read_stored(picture)
    if stored.recipe is None:
        raise ValueError(f"recipe: {str(picture)!r}: {'; '.join(stored.notes)}")
    return dict(stored.recipe)
