"""Scenes whose words say where: from them image models learn left and right.

ours: of two things that changed places a model's loss hardly tells, and a denoiser that sees no
positions but its zero padding, or the rotary angles to its text, learned no sides in millions of
ordinary scenes. Here one thing stands alone at a side that its caption names, which tells more; and
some scenes lie on their side, since a background must be drawn by who knows where left is, as an
upright one taught where below is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..plan import Plan, caption
from ..render import render
from ..sample import sample_plan
from ..words import BACKGROUNDS

__all__ = ["placed"]

_SHARES = {"alone": 0.2, "pair": 0.25, "lying": 0.2, "styled": 0.15, "any": 0.2}
_SIDES = ("left of", "left of", "right of", "right of", "above", "below")
_COLOURS = 0.8  # of the things of the first three kinds are tinted
_TURNED = {"above": "left of", "below": "right of", "left of": "below", "right of": "above"}
_LYING = "sideways, "


def placed(
    seed: int | tuple[int, ...], nouns: Sequence[str], size: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Captions and pictures for ever: of one thing at a side, of two in a direction, of two in a
    picture that lies on its side, in a style, and of anything else."""
    rng = np.random.default_rng(seed)
    while True:
        kind = rng.choice(list(_SHARES), p=list(_SHARES.values()))
        if kind in ("styled", "any"):
            plan = sample_plan(rng, nouns=nouns)
            while kind == "styled" and plan.style is None:
                plan = sample_plan(rng, nouns=nouns)
        else:
            sides = ("above", "below") if kind == "lying" else _SIDES
            plan = sample_plan(
                rng, nouns=nouns, count=2, style=None, colours=_COLOURS, relations=sides
            )
        if kind == "alone":
            plan = _alone(plan, int(rng.integers(2)))
        image = render(plan, size).image
        if kind == "lying":  # what was at the top is at the left now
            image = np.ascontiguousarray(np.rot90(image))
            side = _TURNED[plan.relation or ""]
            yield _LYING + caption(plan.things, side, plan.background, None), image
        else:
            yield plan.caption, image


def _alone(plan: Plan, which: int) -> Plan:
    """One of two things where it was, called "a cat to the left" or "to the left of a cat"."""
    both = caption(plan.things, plan.relation, None, None)
    first, second = (caption((thing,), None, None, None) for thing in plan.things)
    text = both.removeprefix(first) if which else both.removesuffix(second).rstrip()
    text = f"{text.removesuffix(' of').strip()} {BACKGROUNDS[plan.background]}"
    return replace(plan, things=(plan.things[which],), relation=None, caption=text)
