"""Scenes of emoji world with an expression that one thing in them answers, and that thing's pixels.

ours: three groups. By noun, two things of different nouns. By colour, two of the same noun in two
colours, so that only the colour tells. By place, two alike side by side, so that only the place
does. Models of emoji world have not seen two of the same noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..emoji.plan import Plan
from ..emoji.render import render
from ..emoji.sample import sample_plan
from ..emoji.words import COLOURS

__all__ = ["GROUND_SEEDS", "GROUND_TUNING_SEEDS", "GROUPS", "GroundScene", "draw_scenes"]

GROUND_SEEDS = 11_000_000
"""Figures of grounding: a range that no other suite draws from."""
GROUND_TUNING_SEEDS = 11_500_000
"""Noise, magnets and cuts are chosen on this range only."""

GROUPS: tuple[str, ...] = ("noun", "colour and noun", "left or right")

_TRIES = 1000


@dataclass(frozen=True, eq=False)
class GroundScene:
    """image: [H, W, 3] uint8.    truth: bool [H, W], visible pixels of the thing that is meant."""

    group: str
    expression: str
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]


def draw_scenes(seed: int, nouns: Sequence[str], count: int, size: int) -> tuple[GroundScene, ...]:
    """`count` scenes of `size` pixels a side, the groups in turn.

    seed: of the whole draw, a range constant of this module plus the run's seed.
    """
    if count < 1:
        raise ValueError(f"scenes: {count} came; expected at least 1")
    if len(nouns) < 2:
        raise ValueError(f"nouns: came {list(nouns)}; expected 2 or more")
    rng = np.random.default_rng(seed)
    return tuple(_scene(rng, nouns, GROUPS[i % len(GROUPS)], size) for i in range(count))


def _scene(rng: np.random.Generator, nouns: Sequence[str], group: str, size: int) -> GroundScene:
    beside = ("left of", "right of") if group == "left or right" else None
    for _ in range(_TRIES):
        plan = sample_plan(rng, nouns=nouns, count=2, held_out=None, style=None)
        if beside is None or plan.relation in beside:
            break
    else:
        raise ValueError(f"nouns: came {list(nouns)}; no scene of the group {group!r} was found")
    meant = int(rng.integers(2))
    plan, expression = _asked(rng, plan, group, meant)
    drawn = render(plan, size)
    return GroundScene(group, expression, drawn.image, drawn.scene.masks[meant])


def _asked(rng: np.random.Generator, plan: Plan, group: str, meant: int) -> tuple[Plan, str]:
    """The plan with its two things as the group wants them, and the words for the one meant."""
    first, second = plan.things
    noun = first.noun
    if group == "noun":
        return plan, f"the {plan.things[meant].noun}"
    if group == "colour and noun":
        colours = [str(c) for c in rng.choice(list(COLOURS), size=2, replace=False)]
        things = tuple(
            replace(thing, noun=noun, colour=colour)
            for thing, colour in zip(plan.things, colours, strict=True)
        )
        return replace(plan, things=things), f"the {colours[meant]} {noun}"
    things = (first, replace(second, noun=noun, colour=first.colour))
    is_left = (plan.relation == "left of") == (meant == 0)
    return replace(plan, things=things), f"the {noun} on the {'left' if is_left else 'right'}"
