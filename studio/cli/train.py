"""`train`: makes an embedded model, or goes on with one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..device import choose_device
from .options import Device

__all__ = ["Phase", "Trainee", "train"]


class Phase(StrEnum):
    """Parts of a training, as in `emoji.train.pictures`, which costs a second to import."""

    close_ups = "close-ups"
    mixed = "mixed"
    pairs = "pairs"
    paired = "paired"
    simple = "simple"
    everything = "everything"


class Trainee(StrEnum):
    """What can be trained."""

    emoji_sd = "emoji-sd"
    emoji_flux = "emoji-flux"
    judge = "judge"


def train(
    name: Annotated[Trainee, typer.Argument(help="The model to train.")],
    minutes: Annotated[float, typer.Option(min=0.0, help="How long to train.")] = 60.0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for checkpoints and the finished model.")
    ] = Path("runs"),
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in DIR.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Fixes data and start.")] = 0,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default: torch's own choice.")
    ] = None,
    nouns: Annotated[
        str, typer.Option(metavar="core|all|a,b,…", help="Image models: the nouns it learns.")
    ] = "core",
    fresh_autoencoder: Annotated[
        bool, typer.Option("--fresh-autoencoder", help="Image models: train a new one first.")
    ] = False,
    phase: Annotated[
        Phase, typer.Option(help="Image models: what it learns from, the easier first.")
    ] = Phase.everything,
    compile: Annotated[
        bool, typer.Option("--compile", help="Image models: let torch compile the denoiser.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Image models: a finished one to go on from.")
    ] = None,
    decay: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Image models: last part, of falling learning rate."),
    ] = 0.3,
    smoke: Annotated[bool, typer.Option("--smoke", help="Half a minute, to prove it.")] = False,
) -> None:
    """Train an embedded model on scenes that the project renders itself."""
    from ..emoji.train import run
    from ..emoji.words import CORE_NOUNS, NOUNS

    sets = {"core": CORE_NOUNS, "all": NOUNS}
    folder = run(
        name.value,
        minutes=0.5 if smoke else minutes,
        out=out,
        resume=resume,
        seed=seed,
        device=choose_device(device),
        threads=threads,
        nouns=sets.get(nouns) or tuple(noun.strip() for noun in nouns.split(",")),
        fresh_autoencoder=fresh_autoencoder,
        phase=phase.value,
        compile=compile,
        start=start,
        decay=decay,
    )
    print(folder)
