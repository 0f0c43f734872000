"""The page Batch in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from attention_studio.jobs import State

from .fakes import SLOW_SEED
from .running_app import App, running_app

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(root, tmp_path_factory.mktemp("app") / "out") as found:
        yield found


def test_a_batch_is_planned_drawn_left_and_resumed(app: App, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    page = app.open("/batch")
    page.get_by_role("button", name="Plan").click()
    page.get_by_text("6 calls of the pipeline", exact=False).wait_for()
    slow = [{"id": f"{i}", "prompt": f"a cat {i}", "seed": SLOW_SEED, "steps": 5} for i in (1, 2)]
    lines = [json.dumps(row) for row in ({"id": "0", "prompt": "<b>a dog</b> :smile:"}, *slow)]
    manifest = tmp_path / "mine.jsonl"
    manifest.write_text("\n".join([*lines, "{"]), encoding="utf-8")
    page.locator("input[type=file]").set_input_files(manifest)
    text = page.get_by_label("Manifest", exact=True)
    expect(text).to_have_value(manifest.read_text(encoding="utf-8"))
    hold = app.folder / "hold"
    hold.touch()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("1 of 3 rows", exact=False).wait_for()
    page.reload()
    expect(text).to_have_value(manifest.read_text(encoding="utf-8"))
    expect(page.locator("[data-testid=stImage] img")).to_have_count(1)
    cancelled = app.count(State.cancelled)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("rows done", exact=False).wait_for()
    app.wait_for(State.cancelled, cancelled + 1)
    page.get_by_text("line 4: it is not valid JSON").wait_for()
    hold.unlink()
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("3 of 3 rows done").wait_for()
    expect(page.locator("[data-testid=stImage] img")).to_have_count(3)
    page.get_by_role("button", name="Download the report").wait_for()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
    assert app.strangers == []
