"""Starts the worker, then Streamlit with safe options: this machine only, no statistics.

The worker is a process of its own on the CPU too, and loads the model while the page opens: with
torch's objects in the process of the pages they would answer slowly, and slow the sampling down.

Listening to others needs a password and the names under which the machine is called; it is a door,
not a wall between those who are inside.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from ..device import UnavailableError
from ..jobs import MakeRunner, start_worker
from .runner import make_app_runner
from .settings import Settings
from .theme import options as theme_options

__all__ = ["PASSWORD", "launch", "options"]

PASSWORD = "ATTENTION_STUDIO_PASSWORD"  # the name of the environment variable that holds it
_HERE = "127.0.0.1"
_MIN_PASSWORD = 8
_EVERYWHERE = ("0.0.0.0", "::")


def launch(
    settings: Settings,
    *,
    port: int = 8501,
    browser: bool = True,
    listen: str | None = None,
    hosts: Sequence[str] = (),
    make_runner: MakeRunner | None = None,
) -> NoReturn:
    """Run the app until it is interrupted.

    listen: an address others reach; UnavailableError without a password.
    hosts:  further names that browsers may call this machine by.
    make_runner: of the worker; None: one that draws with emoji-sd at hand.
    """
    if listen is not None and len(os.environ.get(PASSWORD, "")) < _MIN_PASSWORD:
        raise UnavailableError(
            f"listen: {listen!r} came without a password; expected one of at least "
            f"{_MIN_PASSWORD} characters in the environment variable {PASSWORD}"
        )
    for folder in settings.models:
        if not folder.is_dir():
            raise ValueError(
                f"models_dir: {str(folder)!r} is not a folder; expected one with models"
            )
    _check_port(listen or _HERE, port)
    settings.out.mkdir(parents=True, exist_ok=True)
    given = options(port=port, browser=browser, listen=listen, hosts=hosts)
    flags = [f"--{name}={value}" for name, value in given]
    if make_runner is None:
        make_runner = partial(make_app_runner, settings.out, settings.models, "emoji-sd")
    start_worker(settings.out, make_runner, settings.device, apart=True)
    from streamlit.web.cli import main

    script = Path(__file__).with_name("script.py")
    sys.exit(main(["run", str(script), *flags, "--", *settings.arguments()]))


def options(
    *, port: int, browser: bool, listen: str | None = None, hosts: Sequence[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Streamlit's options by name; one that is a list comes once for each of its values."""
    names = ["localhost", _HERE, *hosts]
    if listen is not None:
        names += [socket.gethostname()] if listen in _EVERYWHERE else [listen]
    return (
        ("server.address", listen or _HERE),
        ("server.port", str(port)),
        *(("server.allowedHosts", name) for name in dict.fromkeys(names)),
        ("server.headless", "false" if browser else "true"),
        ("server.maxUploadSize", "32"),
        ("server.fileWatcherType", "none"),
        ("server.enableXsrfProtection", "true"),
        ("server.enableCORS", "true"),
        ("server.enableAgentApi", "false"),
        ("server.enableStaticServing", "false"),
        ("server.showEmailPrompt", "false"),
        ("browser.gatherUsageStats", "false"),
        ("logger.level", "warning"),  # else a line for each job that ends while watched
        ("client.toolbarMode", "viewer"),
        ("client.allowedOrigins", f"http://{_HERE}:{port}"),  # no page around it may steer it
        ("client.showErrorDetails", "full" if listen is None else "type"),
        ("client.showErrorLinks", "false"),
        ("runner.magicEnabled", "false"),
        ("runner.postScriptGC", "false"),  # a tenth of a second after each click; Python collects
        *theme_options(),
    )


def _check_port(address: str, port: int) -> None:
    """Streamlit would say it in several lines, after the worker has started."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UnavailableError(f"port: {address}:{port}: {error.strerror}") from None
