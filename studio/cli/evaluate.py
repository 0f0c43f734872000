"""`evaluate`: figures measured by the judge."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..device import choose_device, choose_dtype
from ..models import describe
from ..pipelines.load import load
from .options import AsJson, Device, Dtype, Guidance, ModelName, Quiet, Seed, Steps
from .progress import progress_bar

__all__ = ["Suite", "evaluate"]


class Suite(StrEnum):
    """What can be measured."""

    base = "base"


def evaluate(
    suite: Annotated[Suite, typer.Argument(help="base: does the picture show what was asked?")],
    model: ModelName = "emoji-sd",
    prompts: Annotated[int, typer.Option(help="Prompts, over all groups.")] = 240,
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn at a time.")] = 8,
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for pictures, sheets and the report.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw prompts of emoji world, judge the pictures, print the figures."""
    from ..evaluate import evaluate_base

    about = describe(model)
    if not about.nouns:
        raise ValueError(
            f"model: {about.name} does not draw emoji world; the judge cannot score it"
        )
    pipe = load(model, device=choose_device(device), dtype=choose_dtype(dtype))
    with progress_bar("drawing", quiet=quiet) as progress:
        report = evaluate_base(
            pipe,
            nouns=about.nouns,
            prompts=prompts,
            steps=steps,
            guidance=guidance,
            seed=seed,
            batch=batch,
            model=about.name,
            folder=out,
            progress=progress,
        )
    print(report.to_json() if as_json else report.table())
