"""The page Compose: what it asks of the worker, and what it says of what cannot be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from attention_studio.app.compose_draft import ComposeDraft
from attention_studio.build import build
from attention_studio.jobs import Journal, State
from attention_studio.processors.controls.word_objective import WordObjective
from attention_studio.recipe import Recipe

BOX = (0.0, 0.0, 0.5, 1.0)
RIGHT = (0.5, 0.0, 1.0, 1.0)


def controls(**draft: Any) -> list[str]:
    recipe = ComposeDraft(**draft).recipe()
    build(recipe, 0)
    return [spec.control for spec in recipe.controls]


def test_drafts_become_recipes() -> None:
    assert controls() == ["segregate", "retain"]
    every = {"excited": True, "bound": True, "phrases": True, "parts": ((BOX, "snow"),)}
    assert controls(**every)[2:] == [
        "excite",
        "bind_attributes",
        "structure_phrases",
        "region_prompts",
    ]
    assert controls(prompt="a cat", apart=False) == ["retain"]
    cat = {"parts": ((BOX, "a white cat"), (RIGHT, "the cat, a lion")), "apart": False}
    assert controls(**cat) == ["retain", "region_prompts", "box_layout"]
    assert controls(**cat, placed=False) == ["retain", "region_prompts"]
    assert ComposeDraft(**cat).boxes == {"cat": BOX}
    assert ComposeDraft(prompt="a cat and a dog in the snow").found == ("cat", "dog")
    assert ComposeDraft(concepts=("grass",)).found == ("grass",)


@pytest.mark.parametrize(
    ("draft", "message"),
    [
        ({"prompt": "a cat"}, "1 came; to keep things apart, choose two or more"),
        ({"prompt": "snow", "apart": False}, "none were found in the prompt"),
        ({"apart": False, "kept": False}, "none is chosen"),
        ({"concepts": ("cat", "fox"), "prompt": "a cat"}, "'fox' is not in the prompt"),
    ],
)
def test_what_cannot_be_is_said(draft: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        controls(**draft)


def test_the_example_is_one_click_away(
    page: Callable[..., AppTest], out: Path, starts: Callable[[], list[Any]]
) -> None:
    at = page("compose")
    assert not at.exception
    assert list(at.pills[0].value) == ["cat", "dog"]
    next(button for button in at.button if button.label == "Compose").click().run()
    assert not at.error and not at.exception
    journal, end = Journal(out), time.monotonic() + 30
    while not journal.counts()[State.done]:
        assert time.monotonic() < end
        time.sleep(0.05)
    journal.close()
    at.run()
    assert not at.exception
    assert starts() == ["worker", ["a red cat and a dog on grass"]]
    said = [text.value for text in at.text]
    assert "the same prompt without controls" in said
    assert any(text.startswith("The controls changed") for text in said)
    recipe = Recipe.model_validate_json(at.code[0].value)
    assert [spec.control for spec in recipe.controls][:2] == ["segregate", "retain"]


def test_a_part_has_a_box_and_words(page: Callable[..., AppTest]) -> None:
    at = page("compose")
    at.number_input(key="compose_parts").set_value(1).run()
    at.text_input(key="compose_part_0").set_value("a lion").run()
    assert not at.exception
    at.toggle(key="compose_apart").set_value(False)
    at.toggle(key="compose_kept").set_value(False)
    at.text_input(key="compose_part_0").set_value(" ").run()
    next(button for button in at.button if button.label == "Compose").click().run()
    assert "none is chosen" in at.error[0].value


def test_drafts_are_read_back_from_their_recipes() -> None:
    parts = ((BOX, "snow"), ((0.35, 0.05, 1.0, 0.6), "a bear"))
    for draft in (
        ComposeDraft(),
        ComposeDraft(apart=False, phrases=True, strength=2.5, size=(64, 96)),
        ComposeDraft(kept=False, excited=True, bound=True, parts=parts, base=0.4, negative="x"),
        ComposeDraft(concepts=("grass", "dog"), seed=9, steps=7, guidance=2.5, model="other"),
        ComposeDraft(parts=((BOX, "a dog"), (RIGHT, "a cat")), strength=0.5),
        ComposeDraft(parts=((BOX, "a dog"), (RIGHT, "a cat")), placed=False),
    ):
        found = ComposeDraft.of(draft.recipe())
        assert found is not None
        assert found.recipe() == draft.recipe()
    recipe = ComposeDraft(parts=parts).recipe()
    for other in (
        recipe.model_copy(update={"controls": ()}),
        recipe.model_copy(update={"steps": 201}),
        ComposeDraft(strength=4.25).recipe(),
        ComposeDraft(parts=(((0.333, 0.0, 1.0, 1.0), "snow"),)).recipe(),
        ComposeDraft(parts=((BOX, "snow"),) * 5).recipe(),
    ):
        assert ComposeDraft.of(other) is None


def test_recipes_with_step_sizes_of_their_own_are_not_the_page_s() -> None:
    """Those of before carry 20 absolute in all fields, which is Attend-and-Excite's own."""
    before = {"concepts": ("cat", "dog"), "step_size": 20.0, "relative": False, "weight": 1.0}
    excite = ComposeDraft(apart=False, kept=False, excited=True).recipe()
    found = Recipe.model_validate(
        {**excite.model_dump(), "controls": [{"control": "excite", **before}]}
    )
    assert found == excite and ComposeDraft.of(found) is not None
    a_star = [{"control": "segregate", **before}, {"control": "retain", **before}]
    other = Recipe.model_validate({**found.model_dump(), "controls": a_star})
    assert ComposeDraft.of(other) is None


def test_strength_is_a_factor_of_each_control_s_own_step() -> None:
    draft = ComposeDraft(excited=True, bound=True, strength=0.5)
    made = [c for c in build(draft.recipe(), 0) if isinstance(c, WordObjective)]
    assert [c.weight * c.step_size for c in made] == [0.025, 0.025, 10.0, 10.0]
    assert ComposeDraft.of(draft.recipe()) == replace(draft, concepts=("cat", "dog"))


def test_a_page_opened_again_shows_the_job_and_its_recipe(
    page: Callable[..., AppTest], out: Path
) -> None:
    recipe = ComposeDraft(
        prompt="a frog and a bear", excited=True, parts=((BOX, "snow"),), steps=3
    ).recipe()
    options = {"plain": True, "maps": True}
    job = Journal(out).submit(recipe.model_dump(mode="json"), options, "ann")
    at = page("compose", job=job.key)
    assert not at.exception
    assert at.text_area(key="compose_prompt").value == "a frog and a bear"
    assert at.toggle(key="compose_excited").value
    assert at.text_input(key="compose_part_0").value == "snow"
    assert at.session_state["owner"] == "ann"
    at.button(key="compose_go").click().run()
    assert at.session_state["compose_job"] == job.key


def test_chips_are_the_things_of_the_prompt_until_others_are_chosen(
    page: Callable[..., AppTest],
) -> None:
    at = page("compose")
    at.text_area(key="compose_prompt").set_value("a frog and a bear in the snow").run()
    chips = at.pills(key="compose_concepts")
    assert list(chips.value) == ["frog", "bear"]
    chips.set_value(["snow", "bear"]).run()
    at.toggle(key="compose_excited").set_value(True).run()
    assert set(at.pills(key="compose_concepts").value) == {"snow", "bear"}
    at.pills(key="compose_concepts").set_value([]).run()
    assert any("these count" in caption.value for caption in at.caption)
    assert not at.exception
