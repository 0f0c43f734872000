"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AllowDownload",
    "AsJson",
    "Device",
    "Dtype",
    "Folders",
    "Guidance",
    "Height",
    "ModelName",
    "Negative",
    "Out",
    "Quiet",
    "Seed",
    "Steps",
    "Syntax",
    "Width",
    "Words",
    "was_said",
    "words_of",
]

ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="M",
        help='"emoji-sd" or "emoji-flux", a diffusers folder or a .safetensors file.',
    ),
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--models-dir",
        metavar="DIR",
        envvar="ATTENTION_STUDIO_MODELS",
        help="Folder in which models are found by name; repeatable.",
    ),
]
AllowDownload = Annotated[
    bool, typer.Option("--allow-download", help="Fetch what is not on this machine.")
]
Negative = Annotated[str, typer.Option(help="What the picture should not show.")]
Seed = Annotated[
    int,
    typer.Option(
        help="Of the first picture; picture i has seed + i, all pictures of an edit the same."
    ),
]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
Guidance = Annotated[float, typer.Option(help="Guidance scale; 1 switches it off.")]
Syntax = Annotated[
    bool,
    typer.Option(
        "--syntax/--no-syntax",
        help="Read (word:1.3), [from:to:when] and (a).swap(b) in prompts, or take them as text.",
    ),
]
Width = Annotated[int | None, typer.Option(help="Pixels; the model's own when not given.")]
Height = Annotated[int | None, typer.Option(help="Pixels; the model's own when not given.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto: CUDA when there is one.")]
Dtype = Annotated[
    str,
    typer.Option(help="auto, float32, bfloat16 or float16; auto: bfloat16 on CUDA, else float32."),
]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the pictures.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]
Words = Annotated[
    str, typer.Option("--words", metavar="a,b", help="Words whose heat maps are drawn.")
]


def was_said(ctx: typer.Context, name: str) -> bool:
    """Whether an option stood on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def words_of(text: str) -> tuple[str, ...]:
    """Words between commas, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
