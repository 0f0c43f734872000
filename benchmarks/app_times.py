"""How long the app takes: to open, to the first edit, and to answer while a job runs.

    python benchmarks/app_times.py --out benchmarks/results/app_times.csv

Needs the package playwright and Chromium. Each run starts `attention-studio app` on an empty folder
and drives it as a visitor would, who presses Edit as soon as the page is usable:

page usable    from the command until the button Edit can be clicked, server and browser included
job started    from the click until the worker, which loads the model meanwhile, takes the job
edit visible   from the click until source and edit are drawn, at the app's own number of steps
plain visible  from the click until the same words without controls stand beside them
opening to edit   from the command until source and edit are drawn
widget         from the press on a chip, as the browser stamps it, until the frame is drawn in which
               the prompt stands that the server writes for it, while a job of many steps runs: over
               all clicks of all runs. The page itself takes the time: what drives the browser looks
               at growing intervals, and would add up to a tenth of a second.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from attention_studio.jobs import Journal

TARGETS = {"page usable": 10.0, "edit visible": 15.0, "widget": 0.3}  # seconds
_PATIENCE_MS = 300_000
_WATCH = """
(text) => {
  window.reaction = new Promise((done) => {
    let pressed = null;
    const press = (event) => { pressed = event.timeStamp; };
    addEventListener("pointerdown", press, { capture: true, once: true });
    const shown = () => [...document.querySelectorAll("[data-testid=stText]")].some(
      (element) => element.textContent === text
    );
    if (shown()) throw new Error("it is there before the press: " + text);
    const watch = new MutationObserver(() => {
      if (pressed === null || !shown()) return;
      watch.disconnect();
      requestAnimationFrame(() => {  // before the frame is drawn; a message comes after it
        const channel = new MessageChannel();
        channel.port1.onmessage = () => done(performance.now() - pressed);
        channel.port2.postMessage(null);
      });
    });
    watch.observe(document.body, { subtree: true, childList: true, characterData: true });
  });
}
"""


@contextmanager
def app(folder: Path) -> Iterator[str]:
    """A server on a free port, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "attention_studio", "app", "--no-browser"]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--out", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def answering(address: str) -> None:
    """Wait until the server takes requests."""
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


def once(browser: Any, clicks: int) -> tuple[dict[str, float], list[float]]:
    """One start of the app: seconds by name, and of each click."""
    with tempfile.TemporaryDirectory() as folder:
        out, start = Path(folder) / "out", time.perf_counter()
        with app(out) as address:
            answering(address)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(_PATIENCE_MS)
            page.goto(address)
            edit = page.get_by_role("button", name="Edit", exact=True)
            edit.wait_for()
            usable = time.perf_counter()
            edit.click()
            clicked = time.time()
            drawn = {}
            for name in ("Source", "Edit", "Plain"):
                page.get_by_role("img", name=name).first.wait_for()
                drawn[name] = time.perf_counter()
            (job,) = _jobs(out)
            spent = _react(page, edit, clicks)
            page.close()
    found = {
        "page usable": usable - start,
        "job started": job - clicked,
        "edit visible": drawn["Edit"] - usable,
        "plain visible": drawn["Plain"] - usable,
        "opening to edit": drawn["Edit"] - start,
    }
    return found, spent


def _jobs(out: Path) -> list[float]:
    """When each job was started."""
    journal = Journal(out)
    try:
        return [row["started"] for row in journal.all("SELECT started FROM jobs")]
    finally:
        journal.close()


def _react(page: Any, edit: Any, clicks: int) -> list[float]:
    """Seconds from the press on a chip to the prompt that the server writes for it."""
    page.get_by_text("Seed, steps and more").click()
    steps = page.get_by_label("Steps", exact=True)
    steps.fill("200")
    steps.press("Enter")
    page.wait_for_timeout(1000)
    edit.click()
    page.get_by_role("img", name="The pictures so far").wait_for()
    spent = []
    for i in range(clicks):
        word, becomes = (("grass", "a cat on dog"), ("cat", "a dog on grass"))[i % 2]
        page.evaluate(_WATCH, becomes)
        page.locator(".st-key-draft_word button", has_text=word).click()
        spent.append(page.evaluate("window.reaction") / 1000)
        page.wait_for_timeout(300 + 70 * (i % 7))  # not in step with the page's own looks
    page.get_by_role("img", name="The pictures so far").wait_for()  # the job runs still
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled", exact=False).first.wait_for()
    return spent


def _row(what: str, seconds: list[float], of: str) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "what": what,
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 3),
        "worst": round(ordered[-1], 3),
        "n": len(ordered),
        "of": of,
        "target": TARGETS.get(what) or "",
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs",
        "date": date.today().isoformat(),
    }


def main() -> None:
    """Print a table; with --out also write a CSV."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--runs", type=int, default=3, help="starts of the app; of several the first only warms up"
    )
    parser.add_argument("--clicks", type=int, default=25, help="chips clicked in each")
    parser.add_argument("--out", type=Path, help="CSV to write")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        runs = [once(browser, given.clicks) for _ in range(given.runs)]
        browser.close()
    runs = runs[1:] or runs
    spent = [seconds for _, clicks in runs for seconds in clicks]
    rows = [_row(name, [found[name] for found, _ in runs], "of starts") for name in runs[0][0]] + [
        _row("widget", spent, "of clicks")
    ]
    for row in rows:
        print(
            f"{row['what']:16} median {row['median']:7.3f} s   95 % {row['p95']:7.3f}   "
            f"worst {row['worst']:7.3f}   {row['n']:3} {row['of']}"
            + (f"   target {row['target']:g}" if row["target"] else "")
        )
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        with given.out.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
