"""The page Edit with a fake session: what is clicked, asked of the worker, and shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from attention_studio.app.draft import Draft
from attention_studio.app.pictures import heat, shown
from attention_studio.jobs import Journal, State
from attention_studio.recipe import Recipe

from .fakes import SLOW_SEED
from .reading import button, text_of

Page = Callable[..., AppTest]


def _finished(at: AppTest, state: State = State.done) -> AppTest:
    """Look again, as the fragment's timer would, until the job has ended."""
    end = time.monotonic() + 30
    journal = Journal(Path(at.session_state["out"]))
    while (counts := journal.counts())[State.waiting] + counts[State.running]:
        assert time.monotonic() < end
        time.sleep(0.05)
    errors = [row["error"] for row in journal.all("SELECT error FROM jobs")]
    assert counts[state] == sum(counts.values()), errors
    journal.close()
    return at.run()


def _set(at: AppTest, **draft: Any) -> AppTest:
    for name, value in draft.items():
        at.session_state[f"draft_{name}"] = value
    return at.run()


@pytest.fixture
def edit(page: Page, out: Path) -> AppTest:
    at = page("edit")
    at.session_state["out"] = str(out)
    return at


def test_the_example_is_one_click_away(edit: AppTest, starts: Callable[[], list[Any]]) -> None:
    assert not edit.exception
    assert edit.text_area[0].value == "a cat on grass"
    button(edit, "Edit").click().run()
    assert not edit.error
    at = _finished(edit)
    assert not at.exception
    assert starts() == ["worker", ["a cat on grass", "a dog on grass"]]
    assert [tab.label for tab in at.tabs] == ["Compare", "Word maps", "Receipt", "Recipe"]
    assert "changed its objects by 40.0 of 255" in text_of(at)
    assert Recipe.model_validate_json(at.code[0].value).prompts[1] == "a dog on grass"
    names = sorted(path.name for path in Path(at.session_state["out"]).rglob("*.png"))
    assert len(names) == 3
    assert names[1].endswith("-plain.png")


def test_chips_choose_the_word_and_weights_follow_the_prompt(edit: AppTest) -> None:
    _set(edit, word=3, becomes="snow")
    assert "a cat on snow" in text_of(edit)
    edit.pills(key="chips_weights").set_value(["snow", "cat"]).run()
    assert [slider.label for slider in edit.slider[:2]] == ["Weight of snow", "Weight of cat"]
    edit.slider(key="weight_of_snow").set_value(2.0).run()
    _set(edit, becomes="sand")
    assert [slider.label for slider in edit.slider[:1]] == ["Weight of cat"]
    assert not edit.exception


def test_the_modes_ask_for_what_they_need(edit: AppTest) -> None:
    _set(edit, mode="reweight")
    button(edit, "Edit").click().run()
    assert "all are 1" in edit.error[0].value
    edit.pills(key="chips_weights").set_value(["cat"]).run()
    edit.slider(key="weight_of_cat").set_value(3.0).run()
    assert not edit.exception
    _set(edit, mode="refine", refined="a cat on grass")
    _set(edit, weights={})
    assert not edit.exception


def test_what_the_form_says_is_in_the_recipe(edit: AppTest, out: Path) -> None:
    _set(edit, mode="refine", refined="a cat on grass at night", seed=3, steps=2, hold=0.5)
    edit.pills(key="chips_around").set_value(["night"]).run()
    edit.pills(key="chips_weights").set_value(["night"]).run()
    edit.slider(key="weight_of_night").set_value(3.0).run()
    button(edit, "Edit").click().run()
    assert not edit.exception and not edit.error
    job = Journal(out).find(edit.session_state["job"])
    assert job is not None
    expected = Draft(
        mode="refine",
        refined="a cat on grass at night",
        around=("night",),
        weights={"night": 3.0},
        seed=3,
        steps=2,
        hold=0.5,
    )
    assert Recipe.model_validate_json(job.recipe) == expected.recipe()


def test_a_finished_job_is_shown_again_at_once(
    edit: AppTest, page: Page, starts: Callable[[], list[Any]]
) -> None:
    button(edit, "Edit").click().run()
    key = edit.session_state["job"]
    _finished(edit)
    again = page("edit", job=key)
    assert again.tabs[0].label == "Compare"
    button(again, "Edit").click().run()
    assert len(starts()) == 2
    for path in Path(edit.session_state["out"]).rglob("*.png"):
        path.unlink()
    assert "not in the folder any more" in text_of(again.run())
    button(again, "Edit").click().run()
    again.session_state["out"] = edit.session_state["out"]
    assert again.session_state["job"] == key


def test_two_visitors_share_a_job_and_cancelling_takes_both(
    page: Page, out: Path, starts: Callable[[], list[Any]]
) -> None:
    both = [page("edit"), page("edit")]
    for at in both:
        _set(at, seed=SLOW_SEED, steps=60)
        button(at, "Edit").click().run()
    assert both[0].session_state["owner"] != both[1].session_state["owner"]
    journal = Journal(out)
    assert sum(journal.counts().values()) == 1
    button(both[0], "Cancel").click().run()
    time.sleep(0.3)
    assert journal.counts()[State.running] == 1
    button(both[1].run(), "Cancel").click().run()
    both[0].session_state["out"] = str(out)
    assert "Cancelled." in text_of(_finished(both[0], State.cancelled))
    assert len(starts()) == 2


def test_a_page_opened_again_may_cancel(page: Page, out: Path) -> None:
    at = page("edit")
    _set(at, seed=SLOW_SEED, steps=60)
    button(at, "Edit").click().run()
    again = page("edit", job=at.session_state["job"])
    again.session_state["out"] = str(out)
    assert again.text_area[0].value == "a cat on grass"
    button(again, "Cancel").click().run()
    assert "Cancelled." in text_of(_finished(again, State.cancelled))


def test_source_and_edit_are_shown_before_the_plain_picture(edit: AppTest, out: Path) -> None:
    _set(edit, seed=SLOW_SEED, steps=20)
    button(edit, "Edit").click().run()
    journal = Journal(out)
    end = time.monotonic() + 60
    while (job := journal.find(edit.session_state["job"])) and job.result is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    edit.run()
    assert [tab.label for tab in edit.tabs][:1] == ["Compare"]
    assert "**Source**" in text_of(edit)
    assert "drawing … Step " in text_of(edit)
    button(edit, "Cancel").click().run()
    at = _finished(edit, State.cancelled)
    assert "Cancelled before" in text_of(at)
    assert "**Edit**" in text_of(at)
    assert not at.exception


def test_a_failure_is_shown_as_it_is(edit: AppTest) -> None:
    _set(edit, negative="fail <script>alert(1)</script>")
    button(edit, "Edit").click().run()
    at = _finished(edit, State.failed)
    assert not at.exception
    assert r"\<b\>no\<\/b\> \*failure\*" in at.error[0].value.replace("\u2060", "")


def test_a_recipe_that_the_form_cannot_show_runs_as_it_is(page: Page, out: Path) -> None:
    at = page("edit")
    recipe = Recipe(prompts=("a cat", "a dog", "a <b>frog</b>"), steps=2)
    job = Journal(out).submit(recipe.model_dump(mode="json"), {"plain": True, "maps": True}, "ann")
    at = page("edit", job=job.key)
    at.session_state["out"] = str(out)
    assert "more than the form can show" in text_of(at)
    assert "a <b>frog</b>" in [text.value for text in at.text]
    at = _finished(at)
    button(at, "Run").click().run()
    assert at.session_state["job"] == job.key
    assert not at.exception
    button(at, "Back to the form").click().run()
    assert button(at, "Edit")


@pytest.mark.parametrize(
    "more", [{"steps": 500}, {"guidance": 80.0}, {"seed": 2**60}, {"negative": "x" * 3000}]
)
def test_what_no_field_can_hold_is_kept_as_it_is(more: dict[str, Any], page: Page) -> None:
    """From a dropped PNG, say: the fields would refuse it, or change it without a word."""
    recipe = Draft().recipe().model_copy(update=more)
    assert Draft.of(recipe) is None
    at = page("edit")
    at.session_state["recipe_as_it_is"] = recipe
    at.run()
    assert not at.exception
    assert "more than the form can show" in text_of(at)
    assert Draft.of(Draft(weights={"dog": 7.0}).recipe()) is None


def test_small_pictures_grow_by_whole_factors_and_large_ones_shrink() -> None:
    import io

    import numpy as np

    for given, expected in ((128, 384), (100, 400), (512, 512), (2048, 1024)):
        picture = shown(Image.new("RGB", (given, given // 2), "red"))
        assert Image.open(io.BytesIO(picture)).size == (expected, expected // 2)
    flat = heat(np.zeros((4, 4), dtype=np.float32), (8, 8))
    assert flat.getpixel((3, 3)) == (0, 32, 76)
    peak = np.zeros((4, 4), dtype=np.float32)
    peak[1, 2] = 0.3
    assert heat(peak, (4, 4)).getpixel((2, 1)) == (255, 234, 70)


def test_a_chip_that_the_browser_names_no_more_is_the_one_in_its_place() -> None:
    def form() -> None:
        import streamlit as st

        from attention_studio.app.edit_form import draft_so_far, fill_in

        fill_in()
        st.session_state["draft_prompt"] = st.session_state["typed"]
        st.session_state["draft_word"] = None
        st.text(draft_so_far().edited)

    at = AppTest.from_function(form)
    for typed, place, edited in (
        ("two red bears", 2, "two red dog"),
        ("a bear", 2, "dog bear"),
        ("", 2, ""),
    ):
        at.session_state["typed"], at.session_state["word_shown"] = typed, place
        assert not at.run().exception
        assert at.text[0].value == edited
