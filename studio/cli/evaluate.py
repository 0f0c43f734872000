"""`evaluate`: figures measured by the judge."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as RichTable

from ..generate import choose_device, choose_dtype
from ..models import describe
from ..pipelines.load import load
from .options import AsJson, Device, Dtype, Guidance, ModelName, Quiet, Seed, Steps, progress_bar

__all__ = ["Suite", "evaluate"]


class Suite(StrEnum):
    """What can be measured."""

    base = "base"


def evaluate(
    suite: Annotated[Suite, typer.Argument(help="base: does the picture show what was asked?")],
    model: ModelName = "emoji-sd",
    count: Annotated[int, typer.Option(help="Prompts, over all groups.")] = 200,
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw prompts of emoji world, judge the pictures, print the figures."""
    from ..evaluate import evaluate_base

    about = describe(model)
    pipe = load(model, device=choose_device(device), dtype=choose_dtype(dtype))
    with progress_bar("drawing", quiet=quiet) as progress:
        table = evaluate_base(
            pipe, about, count=count, steps=steps, guidance=guidance, seed=seed, progress=progress
        )
    if as_json:
        print(json.dumps({"suite": suite.value, **asdict(table)}, indent=2))
        return
    shown = RichTable("group", "pictures", "nouns", "colours", "relation", "background", "style")
    for row in table.figures:
        rates = (row.nouns, row.colours, row.relation, row.background, row.style)
        cells = ("–" if rate is None else f"{rate:.1%}" for rate in rates)
        shown.add_row(row.group, str(row.pictures), *cells)
    Console().print(shown)
