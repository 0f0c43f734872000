"""Prompts of the suites: balanced, reproducible, of ranges that do not meet."""

from __future__ import annotations

from collections import Counter

import pytest

from attention_studio.emoji.sample import is_held_out
from attention_studio.emoji.words import CORE_NOUNS, STYLES
from attention_studio.evaluate.prompts import EVALUATION_SEEDS, TUNING_SEEDS, draw_prompts


def test_the_groups_are_balanced() -> None:
    asked = draw_prompts(EVALUATION_SEEDS, CORE_NOUNS, 240)
    groups = {"one thing": 80, "two things": 80, "three things": 40, "styles": 40}
    assert Counter(item.group for item in asked) == groups
    for group, size in groups.items():
        seen = [item.split == "seen" for item in asked if item.group == group]
        assert sum(seen) == size // 2
    styles = Counter(item.plan.style for item in asked if item.group == "styles")
    assert set(styles) == set(STYLES)
    assert max(styles.values()) - min(styles.values()) <= 2


def test_the_split_and_the_count_are_what_they_say() -> None:
    for item in draw_prompts(EVALUATION_SEEDS, CORE_NOUNS, 60):
        assert is_held_out(item.plan) == (item.split == "held out")
        things = {"one thing": 1, "two things": 2, "three things": 3}
        assert len(item.plan.things) == things.get(item.group, len(item.plan.things))
        assert (item.plan.style is not None) == (item.group == "styles")


def test_a_seed_is_a_draw() -> None:
    one, again = (draw_prompts(EVALUATION_SEEDS, CORE_NOUNS, 24) for _ in range(2))
    other = draw_prompts(TUNING_SEEDS, CORE_NOUNS, 24)
    assert one == again
    assert not {item.latent_seed for item in one} & {item.latent_seed for item in other}


def test_too_few_are_an_error() -> None:
    with pytest.raises(ValueError, match="prompts: 11 came; expected at least 12"):
        draw_prompts(0, CORE_NOUNS, 11)
    with pytest.raises(ValueError, match="nouns: 2 came; expected at least 3"):
        draw_prompts(0, CORE_NOUNS[:2], 12)
