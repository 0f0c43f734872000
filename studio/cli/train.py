"""`train`: makes an embedded model, or goes on with one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..device import choose_device
from .options import Device
from .progress import progress_bar

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
    clear = "clear"


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
        Path | None, typer.Option(metavar="DIR", help="A finished model to go on from.")
    ] = None,
    repainter: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Judge: an image model that draws its scenes anew."),
    ] = None,
    decay: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Image models: last part, of falling learning rate."),
    ] = 0.3,
    radius: Annotated[
        float, typer.Option(min=1.0, help="Clear: tokens around a token that it sees.")
    ] = 8.0,
    steps: Annotated[int, typer.Option(min=1, help="Clear: steps of the optimizer.")] = 1000,
    pictures: Annotated[
        int, typer.Option(min=1, help="Clear: pictures that the model in --start draws first.")
    ] = 500,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Clear: train low-rank changes of this rank only.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Clear: one a line, instead of emoji world's captions."),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Half a minute, to prove it.")] = False,
) -> None:
    """Train an embedded model on scenes that the project renders itself."""
    from ..emoji.train import run
    from ..emoji.words import CORE_NOUNS, NOUNS

    sets = {"core": CORE_NOUNS, "all": NOUNS}
    known = sets.get(nouns) or tuple(noun.strip() for noun in nouns.split(","))
    if name is Trainee.clear:
        settings = {"radius": radius, "steps": 3 if smoke else steps, "rank": rank, "seed": seed}
        count = 2 if smoke else pictures
        print(_clear(start, out, prompts, known, count, settings, device, threads))
        return
    folder = run(
        name.value,
        minutes=0.5 if smoke else minutes,
        out=out,
        resume=resume,
        seed=seed,
        device=choose_device(device),
        threads=threads,
        nouns=known,
        fresh_autoencoder=fresh_autoencoder,
        phase=phase.value,
        compile=compile,
        start=start,
        decay=decay,
        repainter=repainter,
    )
    print(folder)


def _clear(
    start: Path | None,
    out: Path,
    prompts: Path | None,
    nouns: tuple[str, ...],
    count: int,
    settings: dict[str, Any],
    device: str,
    threads: int | None,
) -> Path:
    """Local windows for the pipeline in `start`."""
    from ..distill import Distillation
    from ..emoji.train.clear import captions, train_clear

    if start is None:
        raise typer.BadParameter("clear needs --start, the folder of a trained FLUX pipeline")
    made = Distillation(**settings)
    if prompts is None:
        texts = captions(count, made.seed, nouns)
    else:
        lines = prompts.read_text(encoding="utf-8").splitlines()
        texts = tuple(line.strip() for line in lines if line.strip())[:count]
    before = {"pictures": 0, "steps": len(texts)}
    with progress_bar("clear", quiet=False) as report:
        return train_clear(
            *(start, out, texts, made),
            device=choose_device(device),
            threads=threads,
            progress=lambda kind, done, _: report(before[kind] + done, len(texts) + made.steps),
        )
