"""The form without a browser: what is set, the recipe it means, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attention_studio.app.draft import Draft, words_of
from attention_studio.edit_recipe import edit_recipe
from attention_studio.recipe import Recipe

DRAFTS = {
    "the example": Draft(),
    "swap everywhere": Draft(keep_rest=False, seed=7, steps=3, guidance=2.5, hold=0.6, layout=0.2),
    "swap by a phrase": Draft(becomes="red dog", negative="rain", size=(64, 96)),
    "swap and re-weight": Draft(weights={"dog": 1.5, "grass": -0.5}),
    "swap the last word": Draft(prompt="a cat on grass, a cat", word=5, becomes="dog"),
    "refine": Draft(mode="refine"),
    "refine around a word": Draft(mode="refine", around=("sunset",), weights={"sunset": 2.0}),
    "re-weight": Draft(mode="reweight", weights={"cat": 3.0}, around=("cat",)),
    "not Latin": Draft(prompt="猫 和 狗", word=0, becomes="兎"),
}


@pytest.mark.parametrize("name", DRAFTS)
def test_a_recipe_comes_back_as_the_draft_that_made_it(name: str) -> None:
    draft = DRAFTS[name]
    recipe = draft.recipe()
    back = Draft.of(recipe)
    assert back is not None
    assert back.recipe() == recipe
    unused = {"word", "becomes", "refined", "keep_rest"}
    assert back.mode == draft.mode
    for field in {"prompt", "weights", "around", "seed", "size", "edited", "hold"} - unused:
        assert getattr(back, field) == getattr(draft, field), field


def test_the_app_means_what_the_command_line_means() -> None:
    mine = Draft(weights={"dog": 1.5}).recipe()
    theirs = edit_recipe(
        "a cat on grass",
        ["a dog on grass"],
        weights={"dog": 1.5},
        blend=("cat", "dog"),
        seed=1,
        steps=15,
    )
    assert mine == theirs


def test_only_the_chosen_word_is_replaced() -> None:
    draft = Draft(prompt="a cat and a cat", word=4, becomes="dog")
    assert words_of(draft.prompt)[4] == "cat"
    assert draft.edited == "a cat and a dog"


@pytest.mark.parametrize(
    ("draft", "sentence"),
    [
        (Draft(prompt=""), "word: none is chosen"),
        (Draft(becomes=" "), "nothing came to replace 'cat'"),
        (Draft(becomes="cat"), "both are the same"),
        (Draft(mode="refine", refined="a cat on grass"), "both are the same"),
        (Draft(mode="reweight", weights={"cat": 1.0}), "all are 1"),
        (Draft(mode="reweight", weights={"dog": 2.0}), "'dog' is not in the prompt"),
        (Draft(mode="refine", around=("moon",)), "'moon' is not in the prompt"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(draft: Draft, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draft.recipe()


def test_recipes_that_the_form_cannot_show_are_not_bent_into_it() -> None:
    recipe = Draft().recipe()
    assert Draft.of(Recipe(prompts=("a cat",))) is None
    three = edit_recipe("a cat", ["a dog", "a frog"])
    assert Draft.of(three) is None
    late = recipe.model_copy(
        update={"controls": (replace_during(recipe.controls[0]), *recipe.controls[1:])}
    )
    assert Draft.of(late) is None


def replace_during(spec: object) -> object:
    return spec.model_copy(update={"during": (0.1, 0.8)})  # type: ignore[attr-defined]


def test_recorded_maps_do_not_count() -> None:
    draft = Draft()
    recorded = edit_recipe(
        "a cat on grass",
        ["a dog on grass"],
        blend=("cat", "dog"),
        words=("cat", "dog"),
        seed=1,
        steps=15,
    )
    assert Draft.of(recorded) == replace(draft, refined=Draft().refined)
