"""Recipes that compose: what is found in the prompts, what is said of what makes no sense."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from attention_studio.build import build
from attention_studio.processors import (
    BindAttributes,
    BoxLayout,
    Excite,
    Interval,
    RegionPrompts,
    Retain,
    Segregate,
    StructurePhrases,
)
from attention_studio.processors.controls.word_objective import WordObjective
from attention_studio.processors.prompts.phrases import things
from attention_studio.recipe import Recipe

TWO = ("a red cat and a dog on the beach", "an apple in the snow")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TWO[0], ("cat", "dog")),
        (TWO[1], ("apple",)),
        ("a cat to the left of a small house at night", ("cat", "house")),
        ("a cat, a dog and a cat on a plain background, pixel art", ("cat", "dog")),
        ("cat on grass", ()),
        ("", ()),
    ],
)
def test_things_of_a_prompt(text: str, found: tuple[str, ...]) -> None:
    assert things(text) == found


def test_the_preset_takes_the_things_of_each_prompt() -> None:
    recipe = Recipe(prompts=TWO, controls=("a-star", "excite"))
    segregate, retain, excite = build(recipe, 0)
    assert isinstance(segregate, Segregate) and isinstance(excite, Excite)
    assert segregate.concepts == excite.concepts == ("cat", "dog")
    (retain, excite) = build(recipe, 1)  # one thing cannot be held apart from itself
    assert isinstance(retain, Retain) and retain.concepts == ("apple",)


def test_where_no_prompt_has_enough_things_it_is_said() -> None:
    recipe = Recipe(prompts=TWO[1:], controls=("segregate",))
    with pytest.raises(ValueError, match="segregate needs 2 or more, and found"):
        build(recipe, 0)
    with pytest.raises(ValueError, match="'fox' is not in the prompt"):
        build(Recipe(prompts=TWO, controls=({"control": "retain", "concepts": ["fox"]},)), 0)


def test_fields_arrive() -> None:
    rows = ["0011", "0011"]
    controls: tuple[Any, ...] = (
        {"control": "retain", "masks": {"cat": {"rows": rows}}, "step_size": 3, "relative": False},
        {"control": "bind_attributes", "weight": 2, "during": [0, 0.25]},
        {"control": "box_layout", "boxes": {"dog": [0, 0, 0.5, 0.5]}, "most": 2},
        {"control": "region_prompts", "base": 0, "regions": [{"where": "cat", "prompt": "x"}]},
        {"control": "structure_phrases", "mode": "conjunction", "phrases": ["red cat"]},
    )
    made = build(Recipe(prompts=TWO, controls=controls), 0)
    retain, bind, box, regions, phrases = made
    assert isinstance(retain, Retain) and (retain.step_size, retain.relative) == (3, False)
    mask = retain.masks["cat"]
    assert isinstance(mask, torch.Tensor) and mask.tolist() == [[0, 0, 1, 1]] * 2
    assert isinstance(bind, BindAttributes) and (bind.weight, bind.during.end) == (2, 0.25)
    assert isinstance(box, BoxLayout) and box.boxes == {"dog": (0, 0, 0.5, 0.5)}
    assert isinstance(regions, RegionPrompts) and regions.regions == (("cat", "x"),)
    assert isinstance(phrases, StructurePhrases) and phrases.phrases == ("red cat",)
    assert phrases.mode == "conjunction" and phrases.during == Interval()
    left = build(Recipe(prompts=TWO, controls=controls), 1)  # no cat, no dog, no red cat
    assert [type(control) for control in left] == [Retain, BindAttributes]


def test_what_moves_the_latents_does_so_as_its_control_does_by_itself() -> None:
    box = {"dog": (0.0, 0.0, 0.5, 0.5)}
    names = ("segregate", "retain", "excite", "bind_attributes")
    recipe = Recipe(prompts=TWO, controls=(*names, {"control": "box_layout", "boxes": box}))  # type: ignore[arg-type]
    made = build(recipe, 0)
    own = (Segregate(), Retain(), Excite(), BindAttributes(), BoxLayout(box))
    for control, plain in zip(made, own, strict=True):
        assert isinstance(control, WordObjective) and type(control) is type(plain)
        for name in ("during", "step_size", "relative", "weight"):
            assert getattr(control, name) == getattr(plain, name), (type(plain), name)


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({"control": "segregate", "step_size": -1}, "greater than or equal to 0"),
        ({"control": "retain", "step_size": 20}, "step_size: came 20; expected a part of the lat"),
        ({"control": "excite", "relative": True}, "step_size: came 20; expected a part of the lat"),
        ({"control": "segregate", "size": 1}, "there is no field 'size'; fields: during"),
        ({"control": "box_layout", "boxes": {"cat": [0.5, 0, 0.2, 1]}}, "0 <= left < right"),
        ({"control": "retain", "masks": {"cat": {"rows": ["01", "0"]}}}, "rows of one length"),
        ({"control": "retain", "masks": {"cat": {"rows": ["00"]}}}, "with a 1 in one of them"),
        ({"control": "region_prompts", "regions": []}, "at least 1 item"),
        ({"control": "structure_phrases", "mode": "both"}, "'values' or 'conjunction'"),
    ],
)
def test_what_makes_no_sense_is_refused(control: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe(prompts=TWO, controls=(control,))


def test_the_prompts_of_regions_count_to_the_text() -> None:
    regions = [{"where": [0, 0, 1, 1], "prompt": "x" * 17_000}] * 2
    with pytest.raises(ValidationError, match="more than 32000 characters in all"):
        Recipe(prompts=TWO, controls=({"control": "region_prompts", "regions": regions},))
