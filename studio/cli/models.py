"""`models`: what can be run, and what can be combined on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..capabilities import capabilities, controls_of, exceptions
from ..models import Model, find_models
from .options import AsJson, Folders
from .pictures import print_json

__all__ = ["models"]


def models(
    models_dir: Folders = None,
    matrix: Annotated[
        bool, typer.Option("--matrix/--no-matrix", help="Which controls go together.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """List the embedded models, those in local folders, and which controls go together."""
    found = find_models(models_dir or ())
    together = capabilities() if matrix else {}
    if as_json:
        listed = [asdict(model) | {"path": str(model.path)} for model in found]
        print_json({"models": listed, "capabilities": together})
        return
    console = Console()
    if found:
        console.print(_models(found))
    else:
        print("No model yet: `attention-studio train emoji-sd` makes one.")
    for family, pairs in together.items():
        lines = [f"{family}: any of {', '.join(controls_of(pairs))}, together"]
        lines += [f"  not {'; '.join(what)} ({why})" for why, what in exceptions(pairs).items()]
        for line in lines:
            console.print(line, markup=False, highlight=False)


def _models(found: tuple[Model, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("model", "family", "pixels", "size", "draws", "licence"):
        table.add_column(name, overflow="fold")
    for model in found:
        side = f"{model.image_size} x {model.image_size}" if model.image_size else "?"
        draws = f"emoji world, {len(model.nouns)} nouns" if model.nouns else "anything"
        size = f"{model.size_bytes / 1e6:.1f} MB"
        licence = model.licence or "see its files"
        table.add_row(*map(escape, (model.name, model.family, side, size, draws, licence)))
    return table
