"""The rules of the suite `edit` on rendered scenes, whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from attention_studio.emoji import Plan, Scene, expect, render
from attention_studio.emoji.plan import Thing, caption
from attention_studio.emoji.sample import is_held_out, sample_plan
from attention_studio.emoji.score import OWN_COLOURS
from attention_studio.emoji.words import CORE_NOUNS, HELD_OUT_COLOURS
from attention_studio.evaluate.edit_score import EditScore, score_edit
from attention_studio.evaluate.edits import KINDS, Edit, draw_edits, draw_weighed
from attention_studio.evaluate.prompts import EDIT_SEEDS, EDIT_TUNING_SEEDS

BOX, ELSEWHERE = (0.1, 0.3, 0.45, 0.65), (0.55, 0.3, 0.9, 0.65)

Shown = tuple[Image.Image, Scene]


def shown(*things: Thing, place: str = "grass") -> Shown:
    """A picture of 128 px and the truth about it."""
    text = caption(things, "and" if len(things) == 2 else None, place, None)
    found = render(Plan(things, None, place, None, text, 3))
    return Image.fromarray(found.image), found.scene


def edit(kind: str, before: tuple[str, str | None], after: tuple[str, str | None]) -> Edit:
    def said(thing: tuple[str, str | None]) -> str:
        things = (Thing(*thing, None, BOX), Thing("house", None, None, ELSEWHERE))
        return caption(things, "and", "grass", None)

    return Edit(kind, said(before), said(after), 1, 0, before, after, 0)


HOUSE = Thing("house", None, None, ELSEWHERE)
CAT, DOG = (Thing(noun, None, None, BOX) for noun in ("cat", "dog"))
BLUE_CAT, PINK_CAT = (Thing("cat", colour, None, BOX) for colour in ("blue", "pink"))
SWAP = edit("swap", ("cat", None), ("dog", None))
REFINE = edit("refine", ("cat", None), ("cat", "pink"))
COLOUR = edit("colour", ("cat", "blue"), ("cat", "pink"))


@pytest.mark.parametrize(
    ("asked", "source", "result", "there", "gone"),
    [
        (SWAP, CAT, DOG, True, True),
        (SWAP, CAT, CAT, False, False),
        (SWAP, CAT, replace(DOG, noun="frog"), False, True),
        (edit("swap", ("cat", "blue"), ("dog", "blue")), BLUE_CAT, DOG, False, True),
        (REFINE, CAT, PINK_CAT, True, True),
        (REFINE, CAT, CAT, False, False),
        (REFINE, CAT, BLUE_CAT, False, True),  # another colour: the old thing is gone, no new one
        (COLOUR, BLUE_CAT, PINK_CAT, True, True),
        (COLOUR, BLUE_CAT, BLUE_CAT, False, False),
        (COLOUR, BLUE_CAT, DOG, False, True),
    ],
)
def test_the_new_thing_is_there_and_the_old_one_gone(
    asked: Edit, source: Thing, result: Thing, there: bool, gone: bool
) -> None:
    found = score_edit(asked, shown(source, HOUSE), shown(result, HOUSE))
    assert (found.there, found.gone) == (there, gone)
    assert found.changed == (there and gone) == found.joint  # the rest stands, pixel for pixel


def test_the_old_thing_beside_the_new_one_is_not_gone() -> None:
    result = shown(DOG, replace(CAT, box=ELSEWHERE))
    found = score_edit(SWAP, shown(CAT, HOUSE), result)
    assert found.there and not found.gone


def test_nothing_changed_outside_the_two_things() -> None:
    found = score_edit(SWAP, shown(CAT, HOUSE), shown(DOG, HOUSE))
    assert found.psnr_outside == float("inf")


def test_outside_is_everything_but_the_things_and_four_pixels_around() -> None:
    source, (picture, scene) = shown(CAT, HOUSE), shown(DOG, HOUSE)
    things = source[1].masks[0] | scene.masks[0]

    def wide(px: int) -> np.ndarray:
        padded = np.pad(things, px)
        shifts = range(2 * px + 1)
        return np.any([padded[y : y + 128, x : x + 128] for y in shifts for x in shifts], axis=0)

    pixels = np.asarray(picture).copy()
    for px, psnr in ((4, float("inf")), (5, None)):
        changed = pixels.copy()
        changed[wide(px)] ^= 255
        found = score_edit(SWAP, source, (Image.fromarray(changed), scene))
        assert found.psnr_outside is not None
        assert found.psnr_outside == psnr or (psnr is None and found.psnr_outside < 30)


def test_a_changed_background_fails_the_joint_rule_only() -> None:
    found = score_edit(SWAP, shown(CAT, HOUSE), shown(DOG, HOUSE, place="night"))
    assert found.changed and not found.joint
    assert found.psnr_outside is not None and found.psnr_outside < 20


def test_where_nothing_is_found_outside_is_everything() -> None:
    nothing = Scene((), (), (), np.zeros((0, 128, 128), bool), "grass", None)
    grey, light = (Image.new("RGB", (128, 128), (v, v, v)) for v in (100, 110))
    found = score_edit(SWAP, (grey, nothing), (light, nothing))
    assert not found.there and found.gone
    assert found.psnr_outside == pytest.approx(20 * np.log10(25.5), abs=1e-3)


def test_thirty_decibels_are_enough() -> None:
    assert EditScore(True, True, 30.0).joint and not EditScore(True, True, 29.999).joint
    assert not EditScore(True, False, 99.0).joint and not EditScore(True, True, None).joint


def test_the_kinds_are_balanced_and_say_what_they_do() -> None:
    edits = draw_edits(EDIT_SEEDS, CORE_NOUNS, 60)
    for i, item in enumerate(edits):
        assert item.kind == KINDS[i % 3]
        before, after = expect(item.source), expect(item.target)
        assert len(before.things) == len(after.things) == 1 + i // 3 % 2
        assert before.things[item.thing] == item.before and after.things[item.thing] == item.after
        rest = [[t for n, t in enumerate(e.things) if n != item.thing] for e in (before, after)]
        assert rest[0] == rest[1]
        assert (before.relation, before.background) == (after.relation, after.background)
        for noun, colour in (item.before, item.after):
            assert colour is None or HELD_OUT_COLOURS.get(noun) != colour
        if item.kind == "swap":
            assert item.before[0] != item.after[0] and item.before[1] == item.after[1]
            assert item.after[0] not in {noun for noun, _ in before.things}
        else:
            assert item.before[0] == item.after[0] and item.before[1] != item.after[1]
            assert (item.before[1] is None) == (item.kind == "refine")
            own = OWN_COLOURS.get(item.after[0], ())
            assert item.after[1] not in own and item.before[1] not in own


def test_the_ranges_do_not_meet() -> None:
    """A run's seed is below half a million."""
    assert abs(EDIT_SEEDS - EDIT_TUNING_SEEDS) >= 500_000
    first, tuning = (draw_edits(s, CORE_NOUNS, 30) for s in (EDIT_SEEDS, EDIT_TUNING_SEEDS))
    assert first == draw_edits(EDIT_SEEDS, CORE_NOUNS, 30)
    assert not {e.latent_seed for e in first} & {e.latent_seed for e in tuning}


def test_weighed_prompts_have_one_thing_in_a_foreign_colour() -> None:
    for item in draw_weighed(EDIT_SEEDS, CORE_NOUNS, 20):
        assert expect(item.prompt).things == ((item.noun, item.colour),)
        assert item.colour not in OWN_COLOURS.get(item.noun, ())


def test_no_combination_that_training_leaves_out() -> None:
    rng = np.random.default_rng(0)
    for item in draw_edits(EDIT_SEEDS, CORE_NOUNS, 60):
        for prompt in (item.source, item.target):
            plan = sample_plan(rng, nouns=CORE_NOUNS, count=1, style=None)
            things = [Thing(noun, colour, None, BOX) for noun, colour in expect(prompt).things]
            assert not is_held_out(replace(plan, things=tuple(things)))


@pytest.mark.parametrize(
    ("nouns", "count", "sentence"),
    [(CORE_NOUNS[:2], 3, "nouns: 2 came"), (CORE_NOUNS, 0, "edits: 0 came")],
)
def test_too_few_are_an_error(nouns: tuple[str, ...], count: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw_edits(EDIT_SEEDS, nouns, count)
