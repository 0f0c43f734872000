"""The app as visitors meet it: the real server, a worker that draws plain colours, Chromium."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attention_studio.jobs import Journal, State

__all__ = ["App", "running_app"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 120_000  # of a loaded machine; nothing waits that long when it need not
START = """
import sys
from functools import partial
from pathlib import Path
from attention_studio.app.launch import launch
from attention_studio.app.settings import Settings
from tests.app.batch_fakes import make_both
out = Path(sys.argv[1])
make = partial(make_both, out)
launch(Settings(out), port=int(sys.argv[2]), browser=False, make_runner=make)
"""


class App:
    """A running app: its folder, its address, and pages of it in a browser."""

    def __init__(self, folder: Path, address: str, browser: Any) -> None:
        self.folder, self.address, self._browser = folder, address, browser
        self.strangers: list[str] = []

    def open(self, path: str = "/") -> Any:
        """A new visitor."""
        page = self._browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", self._watch)
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
        page.goto(self.address + path)
        return page

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.strangers.append(request.url)

    def starts(self) -> list[Any]:
        """What the worker has started: "worker" itself, then the prompts of each job."""
        lines = (self.folder / "starts.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def count(self, state: State) -> int:
        """How many jobs are in it."""
        journal = Journal(self.folder)
        try:
            return journal.counts()[state]
        finally:
            journal.close()

    def wait_for(self, state: State, count: int) -> None:
        """Until so many jobs are in it."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while self.count(state) < count:
            assert time.monotonic() < end, f"there are {self.count(state)} {state} jobs"
            time.sleep(0.05)


@contextmanager
def running_app(root: Path, folder: Path) -> Iterator[App]:
    """An app on this output folder. root: of the checkout."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", START, str(folder), str(port)]
    server = subprocess.Popen(
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/_stcore/health")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
            yield App(folder, address, browser)
            browser.close()
    finally:
        server.terminate()
        _, said = server.communicate(timeout=30)  # ends when the worker too has gone
    assert said == ""


def _wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE_MS / 1000
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            assert time.monotonic() < end, "the app did not start"
            time.sleep(0.1)
        else:
            return
