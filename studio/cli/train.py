"""`train`: makes an embedded model, or goes on with one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..device import choose_device
from .options import Device, was_said
from .progress import progress_bar

if TYPE_CHECKING:
    from ..distill import Distillation
    from ..distill.teacher import Images

__all__ = ["Phase", "Trainee", "train"]


class Phase(StrEnum):
    """Parts of a training, as in `emoji.train.pictures`, which costs a second to import."""

    close_ups = "close-ups"
    mixed = "mixed"
    pairs = "pairs"
    paired = "paired"
    whole_pairs = "whole-pairs"
    mostly_pairs = "mostly-pairs"
    simple = "simple"
    everything = "everything"
    placed = "placed"


class Trainee(StrEnum):
    """What can be trained."""

    emoji_sd = "emoji-sd"
    emoji_flux = "emoji-flux"
    emoji_flux_fill = "emoji-flux-fill"
    judge = "judge"
    clear = "clear"


_WHOLE = (Trainee.emoji_sd, Trainee.emoji_flux)
_IMAGE = (*_WHOLE, Trainee.emoji_flux_fill)
_ONLY = {
    "minutes": (*_IMAGE, Trainee.judge),
    "nouns": (*_WHOLE, Trainee.clear),
    **dict.fromkeys(("fresh_autoencoder", "phase"), _WHOLE),
    **dict.fromkeys(("compile", "workers"), _IMAGE),
    **dict.fromkeys(("decay", "batch", "rate"), (*_IMAGE, Trainee.clear)),
    "repainter": (Trainee.judge,),
    **dict.fromkeys(
        (
            *("radius", "late", "pooled", "steps", "pictures", "rank", "prompts", "scenes"),
            *("only_flow", "velocity_loss", "attention_loss", "every"),
        ),
        (Trainee.clear,),
    ),
}
"""Options that not every model has, and those which do."""


def train(
    ctx: typer.Context,
    name: Annotated[Trainee, typer.Argument(help="The model to train.")],
    minutes: Annotated[
        float, typer.Option(min=0.0, help="All but clear: how long to train.")
    ] = 60.0,
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
        str, typer.Option(metavar="core|all|a,b,…", help="All but judge: the nouns it learns.")
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
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="All but judge: last part, of falling learning rate. Default: 0.3; clear 0.5.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Image models: processes that draw what it learns from.")
    ] = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="All but judge: pictures a step; 256 suit a GPU. Default: 16; clear 2.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="All but judge: learning rate; 0.001 suits 256 a step. Default: 6e-4; clear 1e-4.",
        ),
    ] = None,
    radius: Annotated[
        float, typer.Option(min=1.0, help="Clear: tokens around a token that it sees.")
    ] = 8.0,
    late: Annotated[
        float | None,
        typer.Option(min=1.0, help="Clear: radius in the second half of the steps; else the same."),
    ] = None,
    pooled: Annotated[
        int | None,
        typer.Option(min=2, help="Clear: side in tokens of cells whose means it sees as well."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Clear: steps of the optimizer.")] = 1000,
    pictures: Annotated[
        int, typer.Option(min=1, help="Clear: pictures that the model in --start draws first.")
    ] = 500,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Clear: train low-rank changes of this rank only.")
    ] = None,
    only_flow: Annotated[
        bool,
        typer.Option("--only-flow", help="Clear: flow matching alone, no losses of the teacher's."),
    ] = False,
    velocity_loss: Annotated[
        float,
        typer.Option(min=0.0, help="Clear: weight of the distance to the teacher's velocity."),
    ] = 0.5,
    attention_loss: Annotated[
        float,
        typer.Option(min=0.0, help="Clear: weight of the distance to its attentions."),
    ] = 0.5,
    every: Annotated[
        int,
        typer.Option(
            min=1, help="Clear: blocks whose number it divides are held to its attention."
        ),
    ] = 4,
    scenes: Annotated[
        bool,
        typer.Option(
            "--scenes", help="Clear: learn from rendered scenes, not from pictures drawn first."
        ),
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Clear: one a line, the first --pictures of them; else emoji world's captions.",
        ),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Half a minute, to prove it.")] = False,
) -> None:
    """Train an embedded model on scenes that the project renders itself."""
    _refuse_others(ctx, name)
    from ..emoji.words import CORE_NOUNS, NOUNS

    sets = {"core": CORE_NOUNS, "all": NOUNS}
    known = sets.get(nouns) or tuple(noun.strip() for noun in nouns.split(","))
    if name is Trainee.clear:
        from ..distill import Distillation
        from ..emoji.train.clear import plans
        from ..emoji.train.clear import scenes as rendered

        if start is None:
            raise typer.BadParameter("clear needs --start, the folder of a trained FLUX pipeline")
        if scenes and prompts is not None:
            raise typer.BadParameter("--scenes has captions of its own; leave --prompts out")
        if only_flow and (was_said(ctx, "velocity_loss") or was_said(ctx, "attention_loss")):
            raise typer.BadParameter("--only-flow has no --velocity-loss and no --attention-loss")
        count = 2 if smoke else pictures
        made_up = plans(count, seed, known) if prompts is None else ()
        texts = tuple(plan.caption for plan in made_up) if prompts is None else _lines(prompts)
        texts = texts[:count]
        made = Distillation(
            radius=radius,
            late=late,
            pooled=pooled,
            steps=3 if smoke else steps,
            batch=batch or 2,
            learning_rate=1e-4 if rate is None else rate,
            decay=0.5 if decay is None else decay,
            rank=rank,
            seed=seed,
            teacher=0.0 if only_flow else velocity_loss,
            attention=0.0 if only_flow else attention_loss,
            every=every,
        )
        images = rendered(made_up) if scenes else None
        where = choose_device(device)
        print(_clear(start, out, texts, made, images, where, threads, resume=resume))
        return
    from ..emoji.train import run

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
        decay=0.3 if decay is None else decay,
        repainter=repainter,
        workers=workers,
        batch=batch or 16,
        rate=6e-4 if rate is None else rate,
    )
    print(folder)


def _refuse_others(ctx: typer.Context, name: Trainee) -> None:
    """What would have no effect is an error."""
    for option, models in _ONLY.items():
        if name not in models and was_said(ctx, option):
            raise typer.BadParameter(
                f"--{option.replace('_', '-')} is for {' and '.join(models)}; {name} came"
            )


def _lines(file: Path) -> tuple[str, ...]:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def _clear(
    start: Path,
    out: Path,
    prompts: tuple[str, ...],
    settings: Distillation,
    images: Images | None,
    device: str,
    threads: int | None,
    *,
    resume: bool,
) -> Path:
    """Local windows for the pipeline in `start`."""
    from ..emoji.train.clear import train_clear

    before = {"pictures": 0, "steps": len(prompts)}
    total = len(prompts) + settings.steps
    with progress_bar("clear", quiet=False) as report:
        return train_clear(
            *(start, out, prompts, settings),
            images=images,
            device=device,
            threads=threads,
            resume=resume,
            progress=lambda kind, done, _: report(before[kind] + done, total),
        )
