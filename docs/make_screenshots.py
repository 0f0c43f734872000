"""Writes docs/screenshots/ from the running app: each page wide and narrow, by day and by night.

    python docs/make_screenshots.py [FOLDER]

Needs the package playwright and Chromium. What the pages show is drawn first, without the app, on a
folder of its own: one edit after another, a composition, a batch. A busy machine takes longer;
nothing here gives up early.
"""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from attention_studio.app.batch_draft import BatchDraft
from attention_studio.app.compose_draft import ComposeDraft
from attention_studio.app.draft import Draft
from attention_studio.app.runner import make_app_runner
from attention_studio.batch.job import DRAW
from attention_studio.jobs import Job, Journal, State, start_worker

FOLDER = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).with_name("screenshots"))
EDITS = (
    Draft(prompt="a blue car in the snow", word=1, becomes="red"),
    Draft(prompt="a frog on the beach", word=1, becomes="bear"),
    Draft(),
)
WIDTHS = (1280, 390)
MOST_HEIGHT = {1280: 1280, 390: 1900}  # of a picture; longer pages are cut
PATIENCE_S = 3600
CALM = """
document.fonts.status === "loaded"
  && [...document.images].every((image) => image.complete && image.naturalWidth)
  && !document.querySelector("[data-testid=stSkeleton], [data-testid=stSpinner]")
"""


def main() -> None:
    """Draw, start the app, take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        edit, compose, batch = draw(Path(name, "out"))
        with app(Path(name)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for theme in ("light", "dark"):
                page = browser.new_page(color_scheme=theme)
                page.set_default_timeout(PATIENCE_S * 1000)
                shoot = partial(take, page, theme)
                page.goto(f"{address}/?job={edit}")
                page.get_by_role("img", name="Plain").first.wait_for()
                shoot("edit")
                page.get_by_role("tab", name="Word maps").click()
                page.locator("figure.fade img.over").wait_for()
                shoot("maps")
                page.goto(f"{address}/compose?job={compose}")
                page.get_by_role("img", name="Plain").first.wait_for()
                shoot("compose")
                page.goto(f"{address}/batch?batch={batch}")
                page.get_by_text("a red car at night").first.wait_for()
                shoot("batch")
                page.goto(f"{address}/gallery")
                page.get_by_role("button", name="Open").first.wait_for()
                shoot("gallery")
                page.goto(f"{address}/models")
                page.get_by_text("replace_words").first.wait_for()
                shoot("models")
                page.close()
            browser.close()


def draw(out: Path) -> tuple[str, str, str]:
    """Draw everything; the keys of the last edit, the composition and the batch."""
    journal, plain = Journal(out), {"plain": True, "maps": True}
    edits = [journal.submit(_said(draft), plain, "docs") for draft in EDITS]
    compose = journal.submit(_said(ComposeDraft()), plain, "docs")
    asked = BatchDraft().job()
    asked.write(out)
    batch = journal.submit(asked.recipe, DRAW, "docs")
    worker = start_worker(out, partial(make_app_runner, out, (), "emoji-sd"), "cpu")
    for job in (*edits, compose, batch):
        _wait_for_job(journal, job)
    worker.stop()
    journal.close()
    return edits[-1].key, compose.key, batch.key


def _said(draft: Draft | ComposeDraft) -> dict[str, Any]:
    return draft.recipe().model_dump(mode="json")


def _wait_for_job(journal: Journal, job: Job) -> None:
    end = time.monotonic() + PATIENCE_S
    while not (now := journal.get(job.id)).state.ended:
        if time.monotonic() > end:
            sys.exit(f"job {job.id} is still {now.state} after {PATIENCE_S} s")
        time.sleep(0.5)
    if now.state is not State.done:
        sys.exit(f"job {job.id}: {now.error}")


@contextmanager
def app(home: Path) -> Iterator[str]:
    """The app on a free port, started in a folder as a visitor would, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "attention_studio", "app", "--no-browser"]
    server = subprocess.Popen([*command, "--port", str(port)], cwd=home)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
            except OSError:
                time.sleep(0.2)
            else:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def take(page: Page, theme: str, name: str) -> None:
    """One picture a width, as high as the page."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        _calm(page)
        height = page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height, MOST_HEIGHT[width])})
        _calm(page)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            sys.exit(f"{name}: the page is {wide} px wide on a screen of {width}")
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(FOLDER / f"{name}-{width}-{theme}.webp", quality=82, method=6)


def _calm(page: Page) -> None:
    """Fonts, pictures and tables come one after the other."""
    page.wait_for_timeout(700)
    page.wait_for_function(CALM)
    page.wait_for_timeout(700)


if __name__ == "__main__":
    main()
