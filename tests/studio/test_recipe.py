"""Recipes: what they accept, how they refuse, and that names become written-out controls."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from attention_studio import Recipe
from attention_studio.build import build
from attention_studio.cli.shell import sentence
from attention_studio.control_specs import CONTROLS, PRESETS
from attention_studio.edit_recipe import edit_recipe
from attention_studio.processors import (
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    Rows,
)

TWO = ("a cat on grass", "a dog on grass")
EDIT = ("a cat on grass", ("a dog on grass",))
NEEDED: dict[str, dict[str, Any]] = {
    "reweight_words": {"weights": {"dog": 2.0}},
    "local_blend": {"words": ["cat", "dog"]},
    "record_maps": {"words": ["dog"]},
    "schedule_prompt": {"later": [[], [[0.5, "a frog on grass"]]]},
    "segregate": {"concepts": ["dog", "grass"], "touching": [["dog", "grass"]]},
    "retain": {"concepts": ["dog"], "masks": {"dog": [0, 0, 0.5, 1]}, "threshold": "otsu"},
    "bind_attributes": {"pairs": {"dog": ["a"]}},
    "box_layout": {"boxes": {"dog": {"rows": ["0110", "0000"]}}},
    "region_prompts": {"regions": [{"where": [0, 0, 0.5, 1], "prompt": "a red car"}]},
}


def test_a_recipe_without_controls_loads_as_before() -> None:
    old = '{"algorithm_version":1,"model":"emoji-sd","prompts":["a cat"],"negative":"","seed":3}'
    recipe = Recipe.model_validate_json(old)
    assert (recipe.controls, recipe.is_edit, recipe.seed) == ((), False, 3)


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_survives_json_and_is_built(name: str) -> None:
    spec = {"control": name, **NEEDED.get(name, {})}
    controls = (spec, "keep_layout")  # which makes an edit of it
    recipe = Recipe(prompts=TWO, controls=controls)
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.digest == recipe.digest
    first, last = build(recipe)
    assert isinstance(last, KeepLayout)
    assert type(first).__name__.lower() == name.replace("_", "")


def test_a_window_has_all_that_the_recipe_says_of_it() -> None:
    plain = {
        "radius": 6.0,
        "late": 3.0,
        "pooled": 4,
        "scale": "proportional",
        "ntk": 2.0,
        "trained": 9,
    }
    parts = {"during": (0.1, 0.9), "blocks": (0.2, 1.0)}
    said = {"control": "local_window", **plain, **parts}
    (window,) = build(Recipe(prompts=("a cat",), controls=(said,)), 0)
    assert {name: getattr(window, name) for name in plain} == plain
    assert {name: getattr(window, name) for name in parts} == {
        name: Interval(*part) for name, part in parts.items()
    }


def test_a_preset_is_written_out() -> None:
    recipe = Recipe(prompts=TWO, controls=("p2p",))
    assert [spec.control for spec in recipe.controls] == ["replace_words", "keep_layout"]
    assert {part for _, parts in PRESETS for part in parts} <= set(CONTROLS)


def test_intervals_and_fields_arrive() -> None:
    controls = (
        {"control": "replace_words", "during": [0.1, 0.6], "words": {"dog": [0, 0.3]}},
        {"control": "local_blend", "words": [["cat"], "dog"], "subtract": [[], "grass"]},
        {"control": "reweight_words", "weights": {"dog": 2}, "prompts": [0, 1]},
    )
    swap, blend, weigh = build(Recipe(prompts=TWO, controls=controls))
    assert isinstance(swap, ReplaceWords)
    assert (swap.during, swap.words) == (Interval(0.1, 0.6), {"dog": Interval(0.0, 0.3)})
    assert isinstance(blend, LocalBlend)
    assert blend.words == (("cat",), "dog") and blend.subtract == ((), "grass")
    assert isinstance(weigh, ReweightWords) and weigh.rows is Rows.COND


def test_without_a_source_each_prompt_gets_its_own_words() -> None:
    controls = (
        {"control": "reweight_words", "weights": {"dog": 2, "grass": 3}},
        {"control": "record_maps", "words": ["cat"]},
    )
    recipe = Recipe(prompts=TWO, controls=controls)
    assert not recipe.is_edit
    (weigh, record), (only,) = build(recipe, 0), build(recipe, 1)
    assert isinstance(weigh, ReweightWords) and dict(weigh.weights) == {"grass": 3}
    assert isinstance(record, RecordMaps) and record.words == ("cat",)
    assert isinstance(only, ReweightWords) and dict(only.weights) == {"dog": 2, "grass": 3}
    with pytest.raises(ValueError, match="prompt: came None"):
        build(recipe)


def test_a_word_that_no_prompt_has_is_an_error() -> None:
    controls = ({"control": "record_maps", "words": ["frog"]},)
    with pytest.raises(ValueError, match="frog"):
        build(Recipe(prompts=TWO, controls=controls), 0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"controls": ["warp"]}, "there is no control 'warp'; controls: replace_words"),
        ({"controls": [{"control": "p2p", "during": [0, 1]}]}, "takes no fields"),
        ({"controls": "p2p"}, "controls: 'p2p' came"),
        ({"controls": [{"control": "keep_layout", "side": 1}]}, "fields: during, max_side"),
        ({"controls": [{"control": "keep_layout", "during": [0.9, 0.1]}]}, "0 <= start <= end"),
        ({"controls": [{"control": "keep_layout", "during": [0, "nan"]}]}, "finite"),
        ({"controls": ["reweight_words"]}, "weights: it is needed"),
        (
            {"controls": [{"control": "reweight_words", "weights": {"a": 1}, "prompts": [2]}]},
            "for prompt 2; there are 2",
        ),
        ({"controls": [{"control": "local_blend", "words": ["a", "b", "c"]}]}, "for 3 prompts"),
        ({"prompts": ["a cat"], "controls": ["p2p"]}, "needs a source and at least one edit"),
        ({"colour": "red"}, "there is no field 'colour'; fields: algorithm_version, model"),
        ({"algorithm_version": 2}, "came 2; this installation knows up to 1"),
        ({"prompts": []}, "prompts: "),
        ({"prompts": ["x" * 20_000] * 2}, "more than 32000 characters"),
        ({"prompts": ["\udcff"]}, "prompts[0]: "),
        ({"guidance": float("nan")}, "guidance: nan came"),
    ],
)
def test_refusals_are_one_sentence_that_names_the_place(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        Recipe(**({"prompts": TWO} | given))
    assert says in sentence(error.value)
    assert sentence(error.value).isprintable()


@pytest.mark.parametrize(
    ("to", "mode", "weights", "kind"),
    [
        (["a dog on grass"], "auto", {}, ReplaceWords),
        (["a dog on grass"], "refine", {}, RefineWords),
        (["a big cat on grass"], "auto", {}, RefineWords),
        ([], "auto", {"cat": 2.0}, RefineWords),
        (["a cat on grass"], "reweight", {"cat": 2.0}, RefineWords),
    ],
)
def test_the_mode_of_an_edit(
    to: list[str], mode: str, weights: dict[str, float], kind: type
) -> None:
    recipe = edit_recipe("a cat on grass", to, mode=mode, weights=weights, seed=4)
    first, keep, *rest = build(recipe)
    assert type(first) is kind and isinstance(keep, KeepLayout)
    assert len(rest) == bool(weights)
    assert (recipe.seed, recipe.prompts[0]) == (4, "a cat on grass")


def test_blend_words_go_to_the_prompts_that_have_them() -> None:
    recipe = edit_recipe("a cat on grass", ["a dog on grass"], blend=["cat", "dog"])
    (blend,) = (control for control in build(recipe) if isinstance(control, LocalBlend))
    assert blend.words == (("cat",), ("dog",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"to": []}, "to: came no edited prompt"),
        ({"mode": "morph"}, "mode: came 'morph'"),
        ({"mode": "reweight"}, "weights: came none"),
        ({"mode": "swap", "to": ["a big dog on grass"]}, "as many words"),
        ({"weights": {"frog": 2.0}}, "frog"),
        ({"blend": ["frog"]}, "frog"),
        ({"words": ["frog"]}, "frog"),
        ({"cross_replace": 1.5}, "cross_replace: came 1.5"),
        ({"self_replace": (0.5, 0.2)}, "self_replace: came (0.5, 0.2)"),
    ],
)
def test_an_edit_that_cannot_be_meant_is_refused(change: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"to": ["a dog on grass"], **change}
    with pytest.raises(ValueError) as error:
        edit_recipe("a cat on grass", **given)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("model", "ends", "cuts"),
    [
        ("emoji-sd", (0.8, 0.8, 0.8), (0.3, 0.3)),
        ("emoji-flux", (0.4, 0.0, 0.4), (0.3, 0.5)),
        ("not there", (0.8, 0.8, 0.8), (0.3, 0.3)),
    ],
)
def test_edits_follow_the_text_less_where_it_is_read_with_the_picture(
    model: str, ends: tuple[float, float, float], cuts: tuple[float, float]
) -> None:
    """It needs no more than the files that say what the model is."""
    added = (EDIT[0], ("a red cat on grass",))
    swap: Any = edit_recipe(*EDIT, model=model, blend=["cat"]).controls
    refine: Any = edit_recipe(*added, model=model, blend=["cat"]).controls
    weighed: Any = edit_recipe(*added, model=model, weights={"red": 2}).controls
    said: Any = edit_recipe(*added, model=model, cross_replace=0.6).controls

    assert [made[0].during[1] for made in (swap, refine, weighed)] == list(ends)
    assert weighed[2].during == weighed[0].during
    assert said[0].during == (0.0, 0.6)
    assert (swap[2].threshold, refine[2].threshold) == cuts
