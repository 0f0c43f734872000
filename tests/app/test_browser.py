"""The app in a real browser, with a session that draws plain colours."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from attention_studio.app.draft import Draft
from attention_studio.gallery import Gallery
from attention_studio.jobs import Journal, State
from attention_studio.recipe import Recipe

from .fakes import SLOW_SEED, drawn
from .hostile import HOSTILE

pytestmark = pytest.mark.browser

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


@pytest.fixture(scope="module")
def app(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    folder = tmp_path_factory.mktemp("app") / "out"
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


def _edit(page: Any) -> Any:
    return page.get_by_role("button", name="Edit", exact=True)


def _set_numbers(page: Any, **numbers: int) -> None:
    page.get_by_text("Seed, steps and more").click()
    for label, number in numbers.items():
        field = page.get_by_label(label, exact=True)
        field.fill(str(number))
        field.press("Enter")
        page.wait_for_timeout(300)


def _wait_for_state(app: App, state: State, count: int) -> None:
    end = time.monotonic() + PATIENCE_MS / 1000
    while _count(app, state) < count:
        assert time.monotonic() < end, f"there are {_count(app, state)} {state} jobs"
        time.sleep(0.05)


def _count(app: App, state: State) -> int:
    journal = Journal(app.folder)
    try:
        return journal.counts()[state]
    finally:
        journal.close()


def test_from_opening_to_an_edit_in_one_click_and_the_slider(app: App) -> None:
    page = app.open()
    _edit(page).click()
    slider = page.get_by_role("slider", name="Compare Source and Edit")
    slider.wait_for(state="attached")
    for name in ("Source", "Edit", "Plain"):
        page.get_by_role("img", name=name).first.wait_for()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    assert 75 <= int(slider.input_value()) <= 85
    over = page.locator("img.over").first
    before = int(slider.input_value())
    clip = over.evaluate("image => image.style.clipPath")
    assert clip == f"inset(0px {100 - before}% 0px 0px)"
    slider.press("ArrowLeft")
    assert int(slider.input_value()) == before - 1
    page.get_by_role("tab", name="Word maps").click()
    fade = page.get_by_role("slider", name="Opacity of the map")
    fade.fill("30")
    assert page.locator("figure.fade img.over").evaluate("image => image.style.opacity") == "0.3"
    page.get_by_role("tab", name="Receipt").click()
    page.get_by_text("changed its objects by 40.0 of 255").wait_for()
    page.close()


def test_two_tabs_have_one_worker_and_one_job(app: App) -> None:
    tabs = [app.open(), app.open()]
    for tab in tabs:
        _edit(tab).wait_for()
        _set_numbers(tab, Seed=SLOW_SEED, Steps=30)
    before = len(app.starts())
    for tab in tabs:
        _edit(tab).click()
    for tab in tabs:
        tab.get_by_text("of 60", exact=False).first.wait_for()  # both watch it before it ends
    assert _count(app, State.running) == 1
    for tab in tabs:
        tab.get_by_role("slider", name="Compare Source and Edit").wait_for(state="attached")
        tab.get_by_role("img", name="Plain").first.wait_for()
        tab.close()
    assert len(app.starts()) == before + 1
    assert app.starts().count("worker") == 1


def test_reload_then_cancel(app: App) -> None:
    from playwright.sync_api import expect

    page = app.open()
    _edit(page).wait_for()
    _set_numbers(page, Seed=SLOW_SEED, Steps=199)
    before, cancelled = len(app.starts()), _count(app, State.cancelled)
    _edit(page).click()
    page.get_by_text("Step ", exact=False).first.wait_for()
    page.get_by_role("img", name="The pictures so far").wait_for()
    page.reload()
    page.get_by_text("of 398", exact=False).first.wait_for()
    assert _count(app, State.running) == 1
    expect(page.get_by_label("Seed", exact=True)).to_have_value(str(SLOW_SEED))
    page.locator(".st-key-draft_word button", has_text="grass").click()  # widgets go on working
    page.get_by_test_id("stText").get_by_text("a cat on dog", exact=True).wait_for()
    step = page.get_by_text("of 398", exact=False).first
    said = step.inner_text()
    expect(step).not_to_have_text(said)  # and so does the job, as the page shows
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.", exact=True).wait_for()
    assert len(app.starts()) == before + 1
    assert (_count(app, State.running), _count(app, State.cancelled)) == (0, cancelled + 1)
    page.close()


def test_a_dropped_png_fills_the_form(app: App, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    recipe = Draft(prompt="a bear at night", word=1, becomes="frog", seed=5, steps=3).recipe()
    path = Gallery(tmp_path).save(drawn(recipe))[1]
    page = app.open("/gallery")
    page.get_by_text("Restore from a PNG").click()
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Use this recipe").click()
    page.get_by_text("a frog at night").first.wait_for()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a bear at night")
    expect(page.get_by_label("becomes")).to_have_value("frog")
    _edit(page).click()
    page.get_by_role("tab", name="Compare").wait_for()
    page.get_by_role("img", name="Plain").first.wait_for()
    made = [p for p in app.folder.rglob("*frog-at-night*.png") if "plain" not in p.name]
    assert len(made) == 1
    with Image.open(made[0]) as now, Image.open(path) as then:
        assert now.tobytes() == then.tobytes()
    again = Gallery(app.folder).recipe_of(made[0]).recipe
    assert again is not None
    assert (again.prompts, again.seed, again.steps) == (recipe.prompts, 5, 3)

    page.goto(f"{app.address}/gallery")
    page.get_by_role("button", name="Open").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Use this recipe").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a bear at night")
    page.close()


def test_what_people_type_appears_as_they_typed_it(app: App) -> None:
    gallery = Gallery(app.folder)
    for prompt in HOSTILE:
        gallery.save(drawn(Recipe(prompts=(prompt,), steps=1)))
    page = app.open("/gallery")
    page.get_by_role("button", name="Open").nth(len(HOSTILE) - 1).wait_for()
    shown = page.get_by_test_id("stText").all_text_contents()
    for prompt in HOSTILE:
        assert prompt in shown, prompt
    page.close()

    everything = " ".join(" ".join(HOSTILE).split())
    page = app.open()
    page.get_by_label("Prompt", exact=True).fill(everything)
    page.get_by_label("becomes").fill("<b>dog</b> :smile: **x**")
    page.get_by_label("becomes").press("Enter")
    page.get_by_text("<b>dog</b> :smile: **x**").first.wait_for()
    chips = page.locator(".st-key-draft_word button").all_text_contents()
    assert {"script", "window", "bold", "frac", "👩‍🚀", "猫", "$", "<"} <= set(_bare(chips))
    page.get_by_text("Seed, steps and more").click()
    page.get_by_label("Not in the picture").fill("fail " + HOSTILE[1])
    page.get_by_label("Not in the picture").press("Enter")
    _edit(page).click()
    alert = page.get_by_role("alert")
    alert.filter(has_text="failure").first.wait_for()
    said = "".join(_bare(alert.all_text_contents()))
    assert "<b>no</b> *failure*" in said
    assert "<img src=x onerror=" in said
    page.get_by_label("Not in the picture").fill("")
    page.get_by_label("Not in the picture").press("Enter")
    _edit(page).click()
    page.get_by_role("img", name="Plain").first.wait_for()
    below = page.locator("[class*=st-key-caption_] [data-testid=stText]").all_text_contents()
    assert everything in below  # below the source
    page.get_by_role("tab", name="Word maps").click()
    maps = page.locator("[class*=st-key-word_] button")
    maps.first.wait_for()
    assert {"script", "bold", "<", "`"} <= set(_bare(maps.all_text_contents()))  # the first 32
    assert page.evaluate("window.hacked") is None
    page.close()

    page = app.open("/compose")
    page.get_by_label("Prompt", exact=True).fill(everything)
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    chips = page.locator(".st-key-compose_concepts button")
    chips.filter(has_text="script").first.wait_for()
    assert {"script", "bold", "frac", "猫", "$"} <= set(_bare(chips.all_text_contents()))
    assert page.evaluate("window.hacked") is None
    page.close()


def _bare(texts: list[str]) -> list[str]:
    """Without the invisible joiners of `literal`, and without the blanks around."""
    return [text.replace("\u2060", "").strip() for text in texts]


def test_a_composition_survives_a_reload_and_comes_back_from_the_gallery(app: App) -> None:
    from playwright.sync_api import expect

    page = app.open("/compose")
    field = page.get_by_label("Prompt", exact=True)
    field.fill("a frog and a bear on grass")
    field.press("Control+Enter")
    page.locator(".st-key-compose_concepts button", has_text="bear").wait_for()
    page.get_by_role("button", name="Compose", exact=True).click()
    for name in ("Picture", "Plain"):
        page.get_by_role("img", name=name).first.wait_for()
    page.get_by_text("the same prompt without controls").wait_for()
    page.reload()
    page.get_by_role("img", name="Plain").first.wait_for()
    expect(field).to_have_value("a frog and a bear on grass")
    page.get_by_role("tab", name="Receipt").click()
    page.get_by_text("The controls changed", exact=False).wait_for()
    page.goto(f"{app.address}/gallery")
    page.get_by_role("button", name="Open").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Use this recipe").click()
    page.get_by_role("button", name="Compose", exact=True).wait_for()
    expect(field).to_have_value("a frog and a bear on grass")
    page.close()


@pytest.mark.parametrize("path", ["/", "/compose", "/batch", "/gallery", "/models"])
def test_a_narrow_screen_scrolls_only_down(app: App, path: str) -> None:
    page = app.open(path)
    page.set_viewport_size({"width": 390, "height": 844})
    if path == "/":
        _edit(page).click()
        page.get_by_role("tab", name="Compare").wait_for()
    else:
        page.get_by_text(_LAST[path]).last.wait_for()
    for _ in range(20):
        width = page.evaluate("document.documentElement.scrollWidth")
        if width <= 390:
            break
        page.wait_for_timeout(250)
    assert width <= 390
    page.close()


_LAST = {  # what a page shows last
    "/compose": "The example is ready",
    "/batch": "The example is ready",
    "/gallery": "Open",
    "/models": "What goes together",
}


def test_a_batch_is_planned_drawn_left_and_resumed(app: App, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page = app.open("/batch")
    page.get_by_role("button", name="Plan").click()
    page.get_by_text("6 calls of the pipeline", exact=False).wait_for()
    slow = [{"id": f"{i}", "prompt": f"a cat {i}", "seed": SLOW_SEED, "steps": 40} for i in (1, 2)]
    lines = [json.dumps(row) for row in ({"id": "0", "prompt": "<b>a dog</b> :smile:"}, *slow)]
    manifest = tmp_path / "mine.jsonl"
    manifest.write_text("\n".join([*lines, "{"]), encoding="utf-8")
    page.locator("input[type=file]").set_input_files(manifest)
    text = page.get_by_label("Manifest", exact=True)
    expect(text).to_have_value(manifest.read_text(encoding="utf-8"))
    page.get_by_role("button", name="Start").click()
    page.get_by_text("1 of 3 rows", exact=False).wait_for()
    page.reload()
    expect(text).to_have_value(manifest.read_text(encoding="utf-8"))
    expect(page.locator("[data-testid=stImage] img")).to_have_count(1)
    cancelled = _count(app, State.cancelled)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("rows done", exact=False).wait_for()
    _wait_for_state(app, State.cancelled, cancelled + 1)
    page.get_by_text("line 4: it is not valid JSON").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("3 of 3 rows done").wait_for()
    expect(page.locator("[data-testid=stImage] img")).to_have_count(3)
    page.get_by_role("button", name="Download the report").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_it_listens_on_this_machine_only(app: App) -> None:
    """By the sockets that the app's processes really hold open."""
    heard = []
    for process in psutil.Process().children(recursive=True):
        heard += [c.laddr for c in process.net_connections("inet") if c.status == "LISTEN"]
    assert app.address.rsplit(":", 1)[1] in [str(place.port) for place in heard]
    assert {place.ip for place in heard} <= {"127.0.0.1", "::1"}


def test_nothing_was_asked_of_other_machines(app: App) -> None:
    """Comes last: it looks at every request of the tests before."""
    assert app.strangers == []
