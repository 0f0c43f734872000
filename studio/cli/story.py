"""`story`: the same subjects in scene after scene."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..models import describe
from ..story import METHODS, StoryRecipe
from ..story.carried import story_in
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
    Steps,
    Width,
    was_said,
)
from .pictures import new_session, picture_size, print_json
from .progress import progress_bar
from .recipe_file import read_recipe
from .shell import one_line

__all__ = ["story"]


def story(
    ctx: typer.Context,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            metavar='"WORD: PORTRAIT"',
            help='Such as "cat: a red cat on grass"; repeat for each of the cast.',
        ),
    ] = None,
    scene: Annotated[
        list[str] | None,
        typer.Option(
            "--scene", metavar="P", help="A prompt that names some of the cast; repeat for more."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A story as JSON, - for stdin, the story.json of a run, or a scene, which carries "
            "it; other options override it.",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help=f"What keeps subjects the same: {', '.join(METHODS)}.")
    ] = "reposition late",
    complete: Annotated[
        bool,
        typer.Option(
            "--complete/--as-said",
            help="Whether scenes say those whom they only name as their portraits do: a red cat, "
            "not a cat.",
        ),
    ] = True,
    assign: Annotated[
        str,
        typer.Option(
            help="Who stands where: word, as it is called, or hungarian, as it looks in its "
            "portrait."
        ),
    ] = "word",
    masks: Annotated[
        str,
        typer.Option(
            help="Who sees where subjects are: judge, of emoji world, words, their maps, or auto."
        ),
    ] = "auto",
    retries: Annotated[
        int, typer.Option(help="How often a scene is rehearsed anew until everybody is found.")
    ] = 3,
    model: ModelName = "emoji-sd",
    models_dir: Folders = None,
    negative: Negative = "",
    seed: Annotated[
        int, typer.Option(help="Of the portraits; the first scene has one more, and so on.")
    ] = 0,
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
    """Draw portraits once, then scenes in which the same subjects stay the same, and apart.

    Portraits are kept in the folder: a further scene costs a rehearsal and one controlled run.
    """
    asked: dict[str, Any] = {
        "model": model,
        "negative": negative,
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "method": method,
        "complete": complete,
        "assign": assign,
        "masks": masks,
        "retries": retries,
    }
    given = asked if recipe is None else read_recipe(recipe, story_in)
    given = {**given, **{name: value for name, value in asked.items() if was_said(ctx, name)}}
    if subject:
        given["subjects"] = [_subject(text) for text in subject]
    if scene:
        given["scenes"] = [{"prompt": prompt} for prompt in scene]
    missing = [name for name in ("subjects", "scenes") if not given.get(name)]
    if missing:
        raise typer.BadParameter(f"--{missing[0][:-1]} or --recipe is needed")
    if width is not None or height is not None:
        given["size"] = picture_size(str(given.get("model", model)), width, height, models_dir)
    told = StoryRecipe.model_validate(given)
    out.mkdir(parents=True, exist_ok=True)  # better to fail before the work than after it
    about = describe(told.model, tuple(models_dir or ()), allow_download=allow_download)
    session = new_session(told.model, device, dtype, models_dir, allow_download)
    session.warm()
    from ..story.files import save_story
    from ..story.run import draw_story

    with progress_bar("drawing", quiet=quiet) as progress:
        drawn = draw_story(session.pipe, about, told, out / "portraits", progress=progress)
    facts = save_story(drawn, out)
    if as_json:
        print_json(facts)
    for one in facts["scenes"]:
        for warning in one["receipt"]["warnings"]:
            print(f"warning: {one_line(warning)}", file=sys.stderr)
    if not quiet:
        _lines(facts, to_error=as_json)


def _lines(facts: dict[str, Any], *, to_error: bool) -> None:
    to = sys.stderr if to_error else sys.stdout
    for word, path in facts["portraits"].items():
        before = ", drawn before" if word in facts["reused"] else ""
        print(f"{path}\n  portrait of {one_line(word)!r}{before}", file=to)
    for one in facts["scenes"]:
        print(f"{one['image']}\n  prompt  {one_line(one['prompt'])!r}", file=to)
        if one["judge"] is not None:
            print(f"  judge   {one['judge']}", file=to)
        for line in (one["receipt"]["text"], *one["receipt"]["notes"]):
            if line is not None:
                print(f"  receipt {one_line(line)}", file=to)
    print(f"{facts['sheet']}\n  all of them on one sheet; places by {facts['masks']}", file=to)
    print(", ".join(f"{name} {spent:.1f} s" for name, spent in facts["timings"].items()), file=to)


def _subject(text: str) -> dict[str, str]:
    word, colon, portrait = (part.strip() for part in text.partition(":"))
    if not (word and colon and portrait):
        raise ValueError(f'subject: came {text!r}; expected "WORD: PORTRAIT"')
    return {"word": word, "portrait": portrait}
