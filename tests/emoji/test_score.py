"""Scores of scenes whose content is written down."""

from __future__ import annotations

import numpy as np
import pytest

from attention_studio.emoji import Scene, expect, render, sample_plan, score

LEFT, RIGHT, TOP = (0.1, 0.4, 0.4, 0.7), (0.6, 0.4, 0.9, 0.7), (0.6, 0.05, 0.9, 0.35)
BOXES = {"left": LEFT, "right": RIGHT, "top": TOP}


def scene(things: str, background: str = "grass", style: str | None = None) -> Scene:
    """A scene from "noun:colour@place" words."""
    parts = [thing.replace("@", ":").split(":") for thing in things.split()]
    return Scene(
        nouns=tuple(noun for noun, _, _ in parts),
        colours=tuple(colour or None for _, colour, _ in parts),
        boxes=tuple(BOXES[place] for _, _, place in parts),
        masks=np.zeros((len(parts), 8, 8), bool),
        background=background,
        style=style,
    )


T, F, N = True, False, None
TABLE = [
    # prompt, scene, nouns, colours, relation, background
    ("a cat", "cat:@left", T, N, N, N),
    ("a cat", "dog:@left", F, N, N, N),
    ("a cat", "", F, N, N, N),
    ("a red cat", "cat:red@left", T, T, N, N),
    ("a red cat", "cat:blue@left", T, F, N, N),
    ("a red cat", "cat:@left", T, F, N, N),
    ("a red cat", "dog:red@left", F, F, N, N),
    ("a red heart", "heart:@left", T, T, N, N),
    ("a blue heart", "heart:@left", T, F, N, N),
    ("a cat on grass", "cat:@left", T, N, N, T),
    ("a cat in the snow", "cat:@left", T, N, N, F),
    ("a cat and a dog", "cat:@left dog:@right", T, N, T, N),
    ("a cat and a dog", "cat:@left", F, N, F, N),
    ("a red cat and a blue dog", "cat:red@left dog:blue@right", T, T, T, N),
    ("a red cat and a blue dog", "cat:blue@left dog:red@right", T, F, T, N),
    ("a red cat and a dog", "cat:red@left dog:red@right", T, T, T, N),
    ("a cat left of a dog", "cat:@left dog:@right", T, N, T, N),
    ("a cat left of a dog", "cat:@right dog:@left", T, N, F, N),
    ("a cat right of a dog", "cat:@right dog:@left", T, N, T, N),
    ("a cat above a dog", "cat:@top dog:@right", T, N, T, N),
    ("a cat below a dog", "cat:@top dog:@right", T, N, F, N),
    ("a cat next to a dog", "cat:@top dog:@right", T, N, T, N),
    ("a cat next to a dog", "cat:@left dog:@right", T, N, F, N),
    ("two cats", "cat:@left", F, N, N, N),
    ("two cats", "cat:@left cat:@right", T, N, N, N),
    ("a cat and a red cat", "cat:red@left cat:@right", T, T, T, N),
    ("a red cat left of a blue cat", "cat:blue@right cat:red@left", T, T, T, N),
    ("grass", "", N, N, N, T),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} / {row[1]}")
def test_table(row: tuple[str, str, bool | None, bool | None, bool | None, bool | None]) -> None:
    prompt, seen, *expected = row
    result = score(scene(seen), expect(prompt))
    got = [result.nouns_ok, result.colours_ok, result.relation_ok, result.background_ok]
    assert got == expected
    assert result.style_ok is None


def test_style() -> None:
    assert score(scene("cat:@left", style="pixel art"), expect("a cat, pixel art")).style_ok is True
    assert score(scene("cat:@left"), expect("a cat, pixel art")).style_ok is False


def test_grey_sketches_have_no_colours() -> None:
    drawn = scene("cat:@left", style="pencil sketch")
    assert score(drawn, expect("a red cat, pencil sketch")).colours_ok is None


def test_extra_things_do_no_harm() -> None:
    result = score(scene("dog:@right cat:@left dog:@top"), expect("a cat"))
    assert result.extra == ("dog", "dog")
    assert result.ok


@pytest.mark.parametrize(
    ("prompt", "seen", "text"),
    [
        (
            "a red cat and a balloon on grass",
            "cat:red@left",
            "cat ✓ red ✓ · balloon missing · grass ✓",
        ),
        ("a red cat in the snow", "cat:blue@left", "cat ✓ red ✗ (blue seen) · snow ✗ (grass seen)"),
        ("a cat above a dog", "cat:@left dog:@right", "cat ✓ · dog ✓ · above ✗"),
        ("a cat, watercolour", "cat:@left", "cat ✓ · watercolour ✗ (no style seen)"),
        (
            "a blue star",
            "star:@left owl:@top",
            "star ✓ blue ✗ (its own colours seen) · also seen: owl",
        ),
        ("", "", "nothing asked for, nothing seen"),
    ],
)
def test_text(prompt: str, seen: str, text: str) -> None:
    assert score(scene(seen), expect(prompt)).text() == text


def test_the_truth_of_a_scene_fulfils_its_caption() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        plan = sample_plan(rng)
        drawn = render(plan)
        result = score(drawn.scene, expect(plan.caption))
        # Boxes of what is visible are a little smaller than the squares that were placed.
        assert (result.nouns_ok, result.extra) == (True, ())
        assert False not in (result.colours_ok, result.background_ok, result.style_ok)
