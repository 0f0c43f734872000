"""Recipes drawn in common calls: the same pictures up to rounding, the same maps and receipts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attention_studio import Recipe, Session
from attention_studio.result import Result

CAT, DOG = "a cat on grass", "a dog on grass"


@pytest.fixture(scope="module")
def session(tiny_sd: Path) -> Session:
    return Session(str(tiny_sd))


def _close(one: Result, other: Result) -> None:
    """T2: at most one grey level on nearly all values."""
    for a, b in zip(one.images, other.images, strict=True):
        apart = np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16))
        assert (apart <= 1).mean() >= 0.99


def test_pictures_without_controls(session: Session, tiny_sd: Path) -> None:
    recipes = [
        Recipe(model=str(tiny_sd), prompts=(f"{noun} one", f"{noun} two"), seed=seed, steps=2)
        for seed, noun in enumerate(("cat", "dog", "car"))
    ]
    together = session.run_together(recipes)
    for recipe, result in zip(recipes, together, strict=True):
        alone = session.run(recipe)
        assert result.recipe == alone.recipe
        assert result.made == alone.made | {"drawn_together": "3"}
        _close(result, alone)


def test_edits_that_differ_in_seed(session: Session, tiny_sd: Path) -> None:
    controls = (
        "p2p",
        {"control": "local_blend", "words": ["cat", "dog"], "threshold": 0.9},
        {"control": "record_maps", "words": ["grass", "dog"]},
    )
    recipes = [
        Recipe(model=str(tiny_sd), prompts=(CAT, DOG), seed=seed, steps=2, controls=controls)
        for seed in (3, 4)
    ]
    for recipe, result in zip(recipes, session.run_together(recipes), strict=True):
        alone = session.run(recipe)
        _close(result, alone)
        assert result.receipts[0].map_shift == pytest.approx(alone.receipts[0].map_shift, abs=1e-3)
        assert result.receipts[0].changed_inside == pytest.approx(
            alone.receipts[0].changed_inside, abs=0.3
        )
        for word, maps in alone.maps.items():
            for a, b in zip(maps, result.maps[word], strict=True):
                assert (a is None) == (b is None)
                assert a is None or np.allclose(a, b, atol=1e-4)


def test_controlled_pictures_that_differ_in_seed(session: Session, tiny_sd: Path) -> None:
    controls = ({"control": "reweight_words", "weights": {"cat": 2.0}},)
    recipes = [
        Recipe(model=str(tiny_sd), prompts=(CAT, CAT), seed=seed, steps=2, controls=controls)
        for seed in (3, 9)
    ]
    for recipe, result in zip(recipes, session.run_together(recipes), strict=True):
        _close(result, session.run(recipe))


def test_one_recipe_together_is_the_recipe_alone(session: Session, tiny_sd: Path) -> None:
    recipe = Recipe(model=str(tiny_sd), prompts=(CAT,), steps=1)
    (together,) = session.run_together([recipe])
    assert together.images[0].tobytes() == session.run(recipe).images[0].tobytes()
    assert "drawn_together" not in together.made


@pytest.mark.parametrize("change", [{"steps": 3}, {"negative": "fog"}, {"prompts": (CAT, CAT)}])
def test_recipes_that_do_not_fit_are_refused(
    session: Session, tiny_sd: Path, change: dict[str, object]
) -> None:
    recipe = Recipe(model=str(tiny_sd), prompts=(CAT,), steps=1)
    with pytest.raises(ValueError, match="differ in more than"):
        session.run_together([recipe, recipe.model_copy(update=change)])
