"""What prompts say becomes parts that a recipe takes, and warnings where it says less."""

from __future__ import annotations

from typing import Any

import pytest

from attention_studio.build import build
from attention_studio.edit_recipe import edit_recipe
from attention_studio.recipe import Recipe
from attention_studio.syntax import Expanded, apply_syntax, parse, to_recipe_parts

ALWAYS = [0.0, 1.0]


def weigh(prompts: list[int], during: list[float] = ALWAYS, **weights: float) -> dict[str, Any]:
    return {
        "control": "reweight_words",
        "weights": weights,
        "prompts": prompts,
        "during": during,
    }


def expand(*prompts: str, **more: Any) -> Expanded:
    found = apply_syntax(prompts, steps=10, **more)
    recipe = Recipe(prompts=found.prompts, controls=found.controls, steps=10)
    for prompt in [None] if recipe.is_edit else range(len(found.prompts)):
        build(recipe, prompt)
    return found


def test_plain_prompts_stay_as_they_are() -> None:
    assert expand("a cat", "a dog") == Expanded(("a cat", "a dog"))
    assert to_recipe_parts(parse("a cat", steps=3)) == Expanded(("a cat",))


def test_weights_go_to_the_words_of_their_prompts() -> None:
    found = expand("a (cat:1.3) and [dogs]", "(cat:1.3) (owl:2)")
    assert found.controls == (weigh([0, 1], cat=1.3), weigh([0], dogs=0.909091), weigh([1], owl=2))
    assert found.warnings == ()
    assert expand("a (cat:1) sat").controls == ()


def test_a_swap_is_what_edit_makes_of_two_prompts() -> None:
    """Without options: the same recipe as `edit --prompt … --to …`."""
    for prompt, source, edit in (
        ("a cat.swap(dog) on grass", "a cat on grass", "a dog on grass"),
        ("a cat.swap(big dog) on grass", "a cat on grass", "a big dog on grass"),
    ):
        found = expand(prompt)
        made = Recipe(prompts=found.prompts, controls=found.controls)
        assert made == edit_recipe(source, [edit])
        assert found.warnings == ()


def test_intervals_of_a_swap() -> None:
    found = expand("a cat.swap(dog, s_start=0.0, s_end=0.9, t_start=0.2, t_end=0.7)")
    assert found.controls == (
        {"control": "replace_words", "during": [0.2, 0.7]},
        {"control": "keep_layout", "during": [0.0, 0.9]},
    )
    found = expand("a cat.swap(dog, s_end=0, t_start=0.2) sat")
    assert found.controls == (
        {"control": "replace_words", "during": [0.2, 1.0]},
        {
            "control": "schedule_prompt",  # until its interval begins the edit is its source
            "later": [[], [[0.0, "a cat sat"], [0.2, "a dog sat"]]],
        },
    )
    found = expand("a cat.swap(dog, s_end=0, t_end=0)")
    assert found.prompts == ("a cat", "a dog") and found.controls == ()
    assert "nothing ties the edit" in found.warnings[0]


def test_several_swaps_have_intervals_of_their_own() -> None:
    found = expand("a cat.swap(dog, t_end=0.5, s_end=0.2) on grass.swap(fresh snow)")
    assert found.controls == (
        {
            "control": "refine_words",
            "during": [0.0, 0.8],
            "words": {"dog": [0.0, 0.5], "fresh snow": [0.0, 0.8]},
        },
        {"control": "keep_layout", "during": [0.0, 0.4]},
    )
    assert "the layout is one for all swaps" in found.warnings[0]


@pytest.mark.parametrize(
    ("prompt", "specs"),
    [
        ("a (red)1.5 cat.swap(dog)", [weigh([0, 1], red=1.5)]),
        ("a cat.swap(dog+) sat", [weigh([0, 1], dog=1.1)]),  # only the edit has the word
        ('a "(cat)1.5".swap(dog)', [weigh([0, 1], cat=1.5)]),  # only the source has it
        ("a cat.swap(cat++)", [weigh([1], cat=1.21)]),
        ('a "(cat)2".swap(cat)', [weigh([0, 1], cat=2), weigh([1], cat=0.5)]),
        ('a "(cat)2".swap((cat)3)', [weigh([0, 1], cat=2), weigh([1], cat=1.5)]),
        ("a (cat.swap(dog))++", [weigh([0, 1], cat=1.21, dog=1.21)]),
    ],
)
def test_weights_of_an_edit(prompt: str, specs: list[dict[str, Any]]) -> None:
    found = expand(prompt)
    assert [spec for spec in found.controls if spec["control"] == "reweight_words"] == specs
    assert found.warnings == ()


def test_prompts_of_an_edit_that_were_given_one_by_one() -> None:
    found = expand("a cat on grass", "a (cat:1.5) on grass", is_edit=True)
    assert found.controls == (weigh([1], cat=1.5),)
    found = expand("a cat", "a (cat:1.5)", "a cat", is_edit=True)
    assert "'cat' has another weight in each edit: 1.5 in all" in found.warnings


def test_a_schedule_is_a_control() -> None:
    found = expand("a [cat:dog:0.5] sat", "an owl", "[fe|]male")
    spec = found.controls[-1]
    assert spec["control"] == "schedule_prompt"
    assert spec["later"][:2] == [[[0.5, "a dog sat"]], []]
    assert spec["later"][2][:2] == [[0.1, "male"], [0.2, "female"]]


def test_weights_hold_as_long_as_words_stand_where_they_stood() -> None:
    found = expand("a (red:2) [cat:big dog:5] on (grass:1.5)")
    assert found.controls[:2] == (weigh([0], red=2), weigh([0], [0.0, 0.5], grass=1.5))
    assert found.warnings == ("'grass': its weight holds only while its text does",)
    found = expand("a (cat:2)[ in snow:5]")
    assert found.controls[0] == weigh([0], cat=2) and found.warnings == ()
    found = expand("a (cat:2)[egory:5]")
    assert found.controls[0] == weigh([0], [0.0, 0.5], cat=2)
    found = expand("a [cat:(dog:2):5]")
    assert found.warnings == ("'dog': weights in later texts are not carried out",)


def test_a_swap_within_a_schedule_ends_with_it() -> None:
    found = expand("a [cat.swap(dog):bird:5] sat")
    assert found.prompts == ("a cat sat", "a dog sat")
    assert found.controls == (
        {"control": "replace_words", "during": [0.0, 0.5]},
        {"control": "keep_layout", "during": [0.0, 0.4]},
        {"control": "schedule_prompt", "later": [[[0.5, "a bird sat"]]] * 2},
    )
    assert found.warnings == ("words follow the source only until the prompt changes",)
    late = expand("a cat.swap(dog, t_start=0.2, s_start=0.3) (sat)1.5 [down:5]")
    assert late.controls[0] == {"control": "replace_words", "during": [0.2, 0.5]}
    assert late.controls[-1]["later"][1] == [
        [0.0, "a cat sat "],
        [0.2, "a dog sat "],
        [0.5, "a dog sat down"],
    ]
    assert late.controls[2] == weigh([0, 1], [0.2, 0.5], sat=1.5)


@pytest.mark.parametrize(
    ("prompt", "weights", "warning"),
    [
        ("a (cat) and a cat", {"cat": 1.1}, "'cat' stands 2 times in the text: 1.1 everywhere"),
        ("(cat:2) or (Cat:3)", {"cat": 2}, "'cat' has several weights in one text: 2 everywhere"),
        ("un(break)able", {"unbreakable": 1.1}, "'break' is a part of 'unbreakable'"),
        ("(, sun, :1.3) moon", {"sun": 1.3}, None),
        ("a (t-shirt:1.3)", {"t-shirt": 1.3}, None),
        ("(a cat, on grass:1.2), x", {"a cat, on grass": 1.2}, None),
        ("(" + "very " * 100 + "red:1.2)", {"very": 1.2, "red": 1.2}, None),
        ("a BREAK b", {}, "BREAK is a word like others"),
        ("a <lora:x:0.8>", {}, "<lora:x:0.8> loads nothing here"),
    ],
)
def test_what_is_said_differently_is_said(
    prompt: str, weights: dict[str, float], warning: str | None
) -> None:
    found = expand(prompt)
    given = {k: v for spec in found.controls for k, v in spec["weights"].items()}
    assert given == weights
    if warning is None:
        assert found.warnings == ()
    else:
        assert any(said.startswith(warning) for said in found.warnings), found.warnings


def test_a_recipe_takes_so_many_phrases() -> None:
    found = expand(" ".join(f"(w{i}:1.5)" for i in range(70)))
    assert len(found.controls[0]["weights"]) == 64
    assert found.warnings == ("more than 64 phrases are weighed; the others get no weight",)


def test_a_recipe_takes_so_many_changes() -> None:
    found = apply_syntax(["[a|b]"], steps=200)
    Recipe(prompts=found.prompts, controls=found.controls)
    assert len(found.controls[0]["later"][0]) == 64
    assert found.warnings == ("a prompt changes more than 64 times; then it stays as it is",)


def test_a_swap_is_alone() -> None:
    with pytest.raises(ValueError, match=r"prompts: .swap\(\) makes an edit of its own"):
        apply_syntax(["a cat.swap(dog)", "an owl"], steps=10)
