"""`models`: what can be run, and what can be combined on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..capabilities import Matrix, capabilities
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
        print("No model yet: `attention-studio train emoji-sd` makes the embedded one.")
    for family, rows in together.items():
        console.print(_matrix(family, rows))
    for sentence in sorted(_refusals(together)):
        console.print(f"no: {sentence}", markup=False, highlight=False)


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


def _matrix(family: str, rows: Mapping[str, Mapping[str, str]]) -> Table:
    """Control by control; numbered columns, so that it fits a narrow terminal."""
    names = list(rows)
    columns = [str(i + 1) for i in range(len(names))]
    table = Table(family, *columns, box=SIMPLE_HEAD)
    for i, name in enumerate(names):
        marks = ("yes" if rows[name].get(other) == "yes" else "no" for other in names)
        table.add_row(f"{i + 1} {name}", *marks)
    return table


def _refusals(together: Matrix) -> set[str]:
    cells = (cell for rows in together.values() for row in rows.values() for cell in row.values())
    return {cell for cell in cells if cell != "yes"}
