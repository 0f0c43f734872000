"""Prompts and what they ask for."""

from __future__ import annotations

import numpy as np
import pytest

from attention_studio.emoji import expect, sample_plan
from attention_studio.emoji.words import HELD_OUT_NOUNS, NOUNS

# prompt | things | relation | background | style | unknown
TABLE = """
a cat | cat | | | |
cat | cat | | | |
A CAT | cat | | | |
a red cat | cat:red | | | |
a big red cat | cat:red | | | |
the small, cat | cat | | | |
an orange | | | | | orange
an orange cat | cat:orange | | | |
an apple and an orange | apple | | | | orange
a cat and dog | cat dog | and | | |
a red cat and dog | cat:red dog | and | | |
a cat and a blue dog in the snow | cat dog:blue | and | snow | |
a dog with a red hat | dog hat:red | with | | |
a cat to the left of a house | cat house | left of | | |
a cat on the right of a green house | cat house:green | right of | | |
a cat left of a dog, pixel art | cat dog | left of | | pixel art |
a star above a tree at night | star tree | above | night | |
a star over a tree | star tree | above | | |
a ball under a bear at sunset | ball bear | below | sunset | |
a fish on top of a boat in the water | fish boat | above | water | |
a frog next to a crown on the beach | frog crown | next to | beach | |
a frog beside a crown | frog crown | next to | | |
a cup, a lamp and a bell on grass | cup lamp bell | | grass | |
red apple, yellow star and pink moon | apple:red star:yellow moon:pink | | | |
a key on a plain background, watercolour | key | | plain | watercolour |
a plain key | key | | | | plain
a key, watercolor | key | | | watercolour |
a pencil sketch of a rabbit | rabbit | | | pencil sketch |
pixel-art rocket | rocket | | | pixel art |
a red fluffy cat | cat:red | | | | fluffy
a photo of a cute duck in the snow | duck | | snow | | cute
two cats and a dog | cat cat dog | | | |
three red balloons | balloon:red balloon:red balloon:red | | | |
butterflies and cacti | butterfly cactus | and | | |
the ball is red | ball | | | | red
a red on grass cat | cat | | grass | | red
a red blue ball | ball:blue | | | | red
a cat without a dog | cat dog | | | | without
the cat's hat | cat hat | | | |
a cat at night in the snow | cat | | night | | snow
🐱 猫 on the beach | | | beach | | 🐱 猫
a cat and to the left of it a dog | cat dog | left of | | |
"""
ROWS = [[cell.strip() for cell in row.split("|")] for row in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table(row: list[str]) -> None:
    prompt, things, relation, background, style, unknown = row + [""] * (6 - len(row))
    asked = expect(prompt)
    pairs = [thing.partition(":") for thing in things.split()]
    assert asked.things == tuple((noun, colour or None) for noun, _, colour in pairs)
    assert asked.relation == (relation or None)
    assert asked.background == (background or None)
    assert asked.style == (style or None)
    assert asked.unknown == tuple(unknown.split())


def test_empty_text_asks_for_nothing() -> None:
    asked = expect("")
    assert asked == expect("   ,  .")
    assert (asked.things, asked.relation, asked.background, asked.style) == ((), None, None, None)


def test_every_caption_is_read_back() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        plan = sample_plan(rng, nouns=(*NOUNS, *HELD_OUT_NOUNS), held_out=None)
        asked = expect(plan.caption)
        assert asked.things == tuple((thing.noun, thing.colour) for thing in plan.things)
        assert asked.relation == plan.relation
        assert asked.background == plan.background
        assert asked.style == plan.style
        assert asked.unknown == ()
