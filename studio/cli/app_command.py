"""`app`: the studio in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app import Settings
from .options import Device, Folders, Out

__all__ = ["app_command"]


def app_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it is served.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
    models_dir: Folders = None,
    device: Device = "auto",
    out: Out = Path("out"),
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Let others reach it; needs a password in ATTENTION_STUDIO_PASSWORD.",
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --listen: a name of this machine; repeatable."),
    ] = None,
) -> None:
    """Open the app in the browser, on this machine only."""
    from ..app.launch import launch

    settings = Settings(out, tuple(models_dir or ()), device, locked=listen is not None)
    launch(settings, port=port, browser=browser, listen=listen, hosts=host or ())
