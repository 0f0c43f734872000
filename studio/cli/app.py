"""The commands that exist, gathered under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .app_command import app_command
from .batch import batch
from .bench import bench
from .edit import edit
from .evaluate import evaluate
from .generate import generate
from .ground import ground
from .maps import maps
from .models import models
from .replay import replay
from .shell import Shell
from .story import story
from .train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="attention-studio",
    cls=Shell,
    help="Steer the attention of the diffusion models you already have.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(models, generate, edit, maps, ground, story),
    *(batch, replay, train, evaluate, bench),
):
    app.command()(command)
app.command("app")(app_command)


def _version(asked: bool) -> None:
    if asked:
        print(f"attention-studio {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and leave."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
) -> None:
    """Steer the attention of the diffusion models you already have."""


def main() -> None:
    """The console script."""
    app()
