"""`train`: makes an embedded model, or goes on with one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Quiet

__all__ = ["Trainee", "train"]


class Trainee(StrEnum):
    """What can be trained."""

    emoji_sd = "emoji-sd"
    judge = "judge"


def train(
    name: Annotated[Trainee, typer.Argument(help="The model to train.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so long; default: the full plan.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for checkpoints and the finished model.")
    ] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in DIR.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Fixes data and start.")] = 0,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default: torch's own choice.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A tiny run that only proves it.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train an embedded model on scenes that the project renders itself."""
    from ..emoji.train import run
    from ..generate import choose_device

    run(
        name.value,
        minutes=minutes,
        out=out,
        resume=resume,
        seed=seed,
        device=choose_device(device),
        threads=threads,
        smoke=smoke,
        quiet=quiet,
    )
