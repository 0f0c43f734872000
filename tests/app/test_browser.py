"""The app in a real browser, with a session that draws plain colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from attention_studio.app.draft import Draft
from attention_studio.gallery import Gallery
from attention_studio.jobs import State
from attention_studio.recipe import Recipe

from .fakes import SLOW_SEED, drawn
from .hostile import HOSTILE
from .running_app import App, running_app

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running_app(root, tmp_path_factory.mktemp("app") / "out") as found:
        yield found


def _edit(page: Any) -> Any:
    return page.get_by_role("button", name="Edit", exact=True)


def _set_numbers(page: Any, **numbers: int) -> None:
    page.get_by_text("Seed, steps and more").click()
    for label, number in numbers.items():
        field = page.get_by_label(label, exact=True)
        field.fill(str(number))
        field.press("Enter")
        page.wait_for_timeout(300)


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
    assert app.count(State.running) == 1
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
    before, cancelled = len(app.starts()), app.count(State.cancelled)
    _edit(page).click()
    page.get_by_text("Step ", exact=False).first.wait_for()
    page.get_by_role("img", name="The pictures so far").wait_for()
    page.reload()
    page.get_by_text("of 398", exact=False).first.wait_for()
    assert app.count(State.running) == 1
    expect(page.get_by_label("Seed", exact=True)).to_have_value(str(SLOW_SEED))
    page.locator(".st-key-draft_word button", has_text="grass").click()  # widgets go on working
    page.get_by_test_id("stText").get_by_text("a cat on dog", exact=True).wait_for()
    step = page.get_by_text("of 398", exact=False).first
    said = step.inner_text()
    expect(step).not_to_have_text(said)  # and so does the job, as the page shows
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.", exact=True).wait_for()
    assert len(app.starts()) == before + 1
    assert (app.count(State.running), app.count(State.cancelled)) == (0, cancelled + 1)
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


@pytest.mark.parametrize("path", ["/", "/compose", "/resolution", "/batch", "/gallery", "/models"])
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
    "/resolution": "The example is ready",
    "/batch": "The example is ready",
    "/gallery": "Open",
    "/models": "What goes together",
}


def test_it_listens_on_this_machine_only(app: App) -> None:
    """By the sockets that the app's processes really hold open."""
    heard = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a tab's that was closed
            heard += [c.laddr for c in process.net_connections("inet") if c.status == "LISTEN"]
    assert app.address.rsplit(":", 1)[1] in [str(place.port) for place in heard]
    assert {place.ip for place in heard} <= {"127.0.0.1", "::1"}


def test_nothing_was_asked_of_other_machines(app: App) -> None:
    """Comes last: it looks at every request of the tests before."""
    assert app.strangers == []
