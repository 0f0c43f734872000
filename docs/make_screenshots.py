"""Writes docs/screenshots/ from the running app: each page wide and narrow, by day and by night.

    python docs/make_screenshots.py [FOLDER]

Needs the package playwright and Chromium. Three edits are drawn first, on a folder of its own.
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
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).with_name("screenshots"))
EXAMPLES = (
    ("a blue car in the snow", "blue", "red"),
    ("a frog on the beach", "frog", "bear"),
    ("a cat on grass", "cat", "dog"),
)
WIDTHS = (1280, 390)
HEIGHTS = {  # in pixels, for each width
    "edit": (1080, 1560),
    "maps": (1240, 1600),
    "gallery": (720, 844),
    "models": (640, 980),
}
PATIENCE_MS = 300_000


def main() -> None:
    """Start the app, draw, take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "attention_studio", "app", "--no-browser"]
        server = subprocess.Popen([*command, "--port", port, "--out", out])
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                _all(browser, f"http://127.0.0.1:{port}")
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _wait_for(url: str) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def _all(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    for prompt, word, becomes in EXAMPLES:
        _draw(page, address, prompt, word, becomes)
    finished = page.url
    page.close()
    for theme in ("light", "dark"):
        page = browser.new_page(color_scheme=theme)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(finished)
        page.get_by_role("img", name="Plain").first.wait_for()
        _shoot(page, "edit", theme)
        page.get_by_role("tab", name="Word maps").click()
        page.locator("figure.fade img.over").wait_for()
        _shoot(page, "maps", theme)
        page.goto(f"{address}/gallery")
        page.get_by_role("button", name="Open").first.wait_for()
        _shoot(page, "gallery", theme)
        page.goto(f"{address}/models")
        page.get_by_text("replace_words").first.wait_for()
        _shoot(page, "models", theme)
        page.close()


def _draw(page: Page, address: str, prompt: str, word: str, becomes: str) -> None:
    page.goto(address)
    edit = page.get_by_role("button", name="Edit", exact=True)
    edit.wait_for()
    field = page.get_by_label("Prompt", exact=True)
    field.fill(prompt)
    field.press("Control+Enter")
    page.locator(".st-key-draft_word button", has_text=word).first.click()
    page.get_by_label("Becomes").fill(becomes)
    page.get_by_label("Becomes").press("Enter")
    page.get_by_text(prompt.replace(word, becomes), exact=True).first.wait_for()
    edit.click()
    page.get_by_role("img", name="Plain").first.wait_for()


def _shoot(page: Page, name: str, theme: str) -> None:
    for width, height in zip(WIDTHS, HEIGHTS[name], strict=True):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(3000)  # fonts, pictures and tables come one after the other
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.save(FOLDER / f"{name}-{width}-{theme}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()
