"""The stories that are drawn: two or three subjects, a portrait's prompt for each, and a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..emoji.plan import caption
from ..emoji.sample import sample_plan
from ..emoji.words import BACKGROUNDS, COLOURS, HELD_OUT_COLOURS

__all__ = ["GROUPS", "STORY_SEEDS", "STORY_TUNING_SEEDS", "Told", "draw_stories"]

STORY_SEEDS = 12_000_000
"""Figures of stories: a range that meets none of the other suites'."""
STORY_TUNING_SEEDS = 12_500_000
"""Methods' settings are chosen on this range only."""

GROUPS: tuple[str, ...] = ("two, described", "two, named", "three, described", "three, named")
"""How many subjects; whether the scene's prompt says their colours too, or nouns alone, so that
only a portrait knows how they look."""

_TRIES = 200


@dataclass(frozen=True)
class Told:
    """One story of one scene.

    nouns, colours, portraits: of each subject its word, its colour and its portrait's prompt.
    """

    group: str
    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    portraits: tuple[str, ...]
    scene: str
    portrait_seed: int
    scene_seed: int


def draw_stories(seed: int, nouns: Sequence[str], count: int) -> tuple[Told, ...]:
    """`count` stories, the groups in turn; subjects wear colours that differ, and none a colour
    that training never saw on it, since its portrait could then hardly be drawn.

    seed: of the whole draw, a range constant of this module plus the run's seed.
    """
    if count < 1:
        raise ValueError(f"prompts: {count} came; expected at least 1")
    if len(nouns) < 3:
        raise ValueError(f"nouns: {len(nouns)} came; expected at least 3 to tell of three")
    rng = np.random.default_rng(seed)
    return tuple(_told(rng, nouns, GROUPS[i % len(GROUPS)]) for i in range(count))


def _told(rng: np.random.Generator, nouns: Sequence[str], group: str) -> Told:
    count = 2 if group.startswith("two") else 3
    plan = sample_plan(rng, nouns=nouns, count=count, held_out=None, style=None, colours=0.0)
    names = [thing.noun for thing in plan.things]
    colours = _colours(rng, names)
    said = colours if group.endswith("described") else (None,) * count
    things = tuple(
        replace(thing, colour=colour, size=None)
        for thing, colour in zip(plan.things, said, strict=True)
    )
    portraits = tuple(
        caption(
            (replace(thing, colour=colour, size=None),),
            None,
            str(rng.choice(list(BACKGROUNDS))),
            None,
        )
        for thing, colour in zip(plan.things, colours, strict=True)
    )
    scene = caption(things, plan.relation, plan.background, None)
    seeds = (int(rng.integers(2**31)), int(rng.integers(2**31)))
    return Told(group, tuple(names), colours, portraits, scene, *seeds)


def _colours(rng: np.random.Generator, nouns: Sequence[str]) -> tuple[str, ...]:
    for _ in range(_TRIES):
        drawn = tuple(map(str, rng.choice(list(COLOURS), size=len(nouns), replace=False)))
        if all(HELD_OUT_COLOURS.get(n) != c for n, c in zip(nouns, drawn, strict=True)):
            return drawn
    raise ValueError(f"nouns: no colours that training saw on {list(nouns)!r}")
