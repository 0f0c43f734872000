"""Options that several commands share, each declared once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = [
    "AsJson",
    "Device",
    "Dtype",
    "Guidance",
    "Height",
    "ModelName",
    "Negative",
    "Out",
    "Quiet",
    "Seed",
    "Steps",
    "Width",
    "progress_bar",
]

ModelName = Annotated[
    str, typer.Option("--model", metavar="M", help='"emoji-sd" or a diffusers folder.')
]
Negative = Annotated[str, typer.Option(help="What the picture should not show.")]
Seed = Annotated[int, typer.Option(help="Seed of the first picture; picture i has seed + i.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
Guidance = Annotated[float, typer.Option(help="Guidance scale; 1 switches it off.")]
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


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; nothing moves where stderr is no terminal, so that logs stay short."""
    console = Console(file=sys.stderr)
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as bar:
        task = bar.add_task(title, total=None, start=False)

        def report(done: int, total: int) -> None:
            if done == 1:
                bar.start_task(task)
            bar.update(task, completed=done, total=total)

        yield report
