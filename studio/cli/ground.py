"""`ground`: where something is in a picture, by the words for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..ground import GroundSettings, facts_of, save_grounding
from ..ground.settings import MAGNETS
from .options import (
    AllowDownload,
    AsJson,
    Device,
    Dtype,
    Folders,
    Height,
    ModelName,
    Out,
    Quiet,
    Width,
    words_of,
)
from .pictures import new_session, picture_size, print_json
from .shell import one_line

__all__ = ["ground"]

T = TypeVar("T")


def ground(
    picture: Annotated[
        Path | None, typer.Argument(help="A PNG, JPEG or WebP; --image does the same.")
    ] = None,
    expression: Annotated[
        str | None, typer.Argument(help='Such as "the red car on the left"; or --expression.')
    ] = None,
    image: Annotated[Path | None, typer.Option("--image", metavar="FILE", hidden=True)] = None,
    said: Annotated[str | None, typer.Option("--expression", metavar="E", hidden=True)] = None,
    model: ModelName = "emoji-sd",
    models_dir: Folders = None,
    magnets: Annotated[
        str,
        typer.Option(
            metavar="a,b", help="Words appended to the expression, which draw off attention."
        ),
    ] = ",".join(MAGNETS),
    sinks: Annotated[
        bool, typer.Option("--sinks/--keep-sinks", help="Suppress tokens that all places look at.")
    ] = True,
    plain: Annotated[
        bool, typer.Option("--plain", help="Only the sum of the words' maps, to compare with.")
    ] = False,
    noise: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Part of the way from the picture to noise; 0.2 unless given.",
        ),
    ] = None,
    cut: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.99,
            help="Part of the map's range above which the mask begins. Default: 0.4; for FLUX and "
            "Stable Diffusion 3 0.5.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    width: Width = None,
    height: Height = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    allow_download: AllowDownload = False,
    out: Out = Path("out"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find what an expression names in a picture: map, point, box and mask.

    The model is only looked into, nothing is drawn. Width and height are those at which it looks.
    """
    path = _one(picture, image, "picture")
    words = _one(expression, said, "expression")
    from ..gallery import slug
    from ..picture_file import open_picture

    shown = open_picture(path).image()
    settings = GroundSettings(
        size=picture_size(model, width, height, models_dir),
        noise=noise,
        seed=seed,
        magnets=words_of(magnets),
        sinks=sinks,
        plain=plain,
        cut=cut,
    )
    settings.check(words)  # bad input before the model
    out.mkdir(parents=True, exist_ok=True)
    session = new_session(model, device, dtype, models_dir, allow_download)
    session.warm()
    found = settings.ground(session.pipe, shown, words)
    stem = f"{slug(path.stem)}-{slug(words)}"
    made = {"model": model, "picture": str(path)}
    files = save_grounding(found, shown, out, stem, made)
    facts = facts_of(found)
    if as_json:
        paths = {name: str(file) for name, file in files.paths.items()}
        print_json({"images": [str(files.overlay)], "ground": facts | made | {"files": paths}})
    for warning in found.warnings:
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    if not quiet:
        to = sys.stderr if as_json else sys.stdout
        x, y = found.point_px
        left, top, right, bottom = found.box_px
        print(f"{files.overlay}\n  found   {one_line(words)!r} at {x}, {y}", file=to)
        print(f"  box     {left}, {top} to {right}, {bottom}", file=to)
        print(f"  mask    {files.mask}, {facts['mask_share']:.1%} of the picture", file=to)
        sunk = ", ".join(f"{one_line(token)!r}" for token in found.sinks) or "none"
        print(f"  read    {one_line(found.prompt)!r}; sinks: {sunk}", file=to)
        print(f"  time    {found.seconds:.1f} s", file=to)


def _one(argument: T | None, option: T | None, name: str) -> T:
    """What was given, once."""
    if argument is not None and option is not None:
        raise ValueError(f"{name}: it came twice, as an argument and as an option; expected one")
    given = option if argument is None else argument
    if given is None:
        raise ValueError(f"{name}: none came; expected `ground PICTURE EXPRESSION`")
    return given
