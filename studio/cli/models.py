"""`models`: what can be run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..models import Model, find_models
from .options import AsJson

__all__ = ["models"]


def models(
    folder: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Also look for diffusers folders in DIR; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the embedded models and those in local folders."""
    found = find_models(folder or ())
    if as_json:
        print(json.dumps({"models": [asdict(m) | {"path": str(m.path)} for m in found]}, indent=2))
    elif found:
        Console().print(_table(found))
    else:
        print("No model yet: `attention-studio train emoji-sd` makes the embedded one.")


def _table(found: tuple[Model, ...]) -> Table:
    table = Table("model", "family", "pixels", "size", "draws", "licence")
    for model in found:
        side = f"{model.image_size} x {model.image_size}" if model.image_size else "?"
        draws = f"emoji world, {len(model.nouns)} nouns" if model.nouns else "anything"
        size = f"{model.size_bytes / 1e6:.1f} MB"
        table.add_row(model.name, model.family, side, size, draws, model.licence or "see its files")
    return table
