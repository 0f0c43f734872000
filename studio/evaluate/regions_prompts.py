"""The prompts of the suite `regions`: things that share nothing, each with a place of its own.

ours: five layouts. Things keep to nouns and colours that training saw together, so that what goes
wrong is the regions' doing, and have no size word, so that each fits its region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..emoji.plan import Box, caption
from ..emoji.sample import sample_plan

__all__ = ["GROUPS", "REGION_SEEDS", "REGION_TUNING_SEEDS", "Placed", "draw_placed"]

REGION_SEEDS = 13_000_000
"""Figures of regions: a range that meets none of the other suites'."""
REGION_TUNING_SEEDS = 13_500_000
"""The control's settings are chosen on this range only."""

GROUPS: tuple[str, ...] = ("left and right", "top and bottom", "thirds", "two boxes", "three boxes")
"""Thirds are columns or rows, by lot. Boxes lie anywhere and do not overlap."""

_SIDES = {2: (0.40, 0.55), 3: (0.36, 0.46)}  # of boxes; a thing takes 0.28 to 0.46 of a picture
_TRIES = 1000


@dataclass(frozen=True)
class Placed:
    """One prompt and its regions, in the order in which the prompt names the things.

    nouns, colours, boxes, texts: of each region its thing, the colour said or None, its place and
                                  its own prompt.
    """

    group: str
    prompt: str
    nouns: tuple[str, ...]
    colours: tuple[str | None, ...]
    boxes: tuple[Box, ...]
    texts: tuple[str, ...]
    latent_seed: int


def draw_placed(seed: int, nouns: Sequence[str], count: int) -> tuple[Placed, ...]:
    """`count` prompts, the groups in turn.

    seed: of the whole draw, a range constant of this module plus the run's seed.
    """
    if count < 1:
        raise ValueError(f"prompts: {count} came; expected at least 1")
    if len(nouns) < 3:
        raise ValueError(f"nouns: came {list(nouns)}; expected 3 or more")
    rng = np.random.default_rng(seed)
    return tuple(_placed(rng, nouns, GROUPS[i % len(GROUPS)]) for i in range(count))


def _placed(rng: np.random.Generator, nouns: Sequence[str], group: str) -> Placed:
    count = 3 if group in ("thirds", "three boxes") else 2
    plan = sample_plan(rng, nouns=nouns, count=count, held_out=False, style=None)
    things = tuple(replace(thing, size=None) for thing in plan.things)
    boxes = _boxes(rng, group, count)
    return Placed(
        group=group,
        prompt=caption(things, "and", plan.background, None),
        nouns=tuple(thing.noun for thing in things),
        colours=tuple(thing.colour for thing in things),
        boxes=tuple(boxes[i] for i in rng.permutation(count)),  # the first named is not leftmost
        texts=tuple(caption((thing,), None, plan.background, None) for thing in things),
        latent_seed=int(rng.integers(2**31)),
    )


def _boxes(rng: np.random.Generator, group: str, count: int) -> list[Box]:
    if group.endswith("boxes"):
        return _free(rng, count)
    beside = group == "left and right" or (group == "thirds" and bool(rng.integers(2)))
    spans = [(i / count, (i + 1) / count) for i in range(count)]
    return [(a, 0.0, b, 1.0) if beside else (0.0, a, 1.0, b) for a, b in spans]


def _free(rng: np.random.Generator, count: int) -> list[Box]:
    for _ in range(_TRIES):
        sides = rng.uniform(*_SIDES[count], (count, 2))
        corners = rng.uniform(0, 1 - sides)
        boxes: list[Box] = [
            (float(x), float(y), float(x + w), float(y + h))
            for (x, y), (w, h) in zip(corners, sides, strict=True)
        ]
        if all(_apart(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]):
            return boxes
    raise ValueError(f"boxes: no {count} that do not overlap were found in {_TRIES} draws")


def _apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
