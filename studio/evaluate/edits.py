"""The edits that are measured: a source prompt, an edited one, and which thing changes how.

ours: three kinds. *swap* exchanges a noun, *refine* adds a colour to a thing in its own ones,
*colour* exchanges a colour. Colours that a glyph wears untinted are never asked for, since nobody
could tell whether anything changed; neither prompt holds a combination that training leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..emoji.plan import Plan, Thing, caption
from ..emoji.sample import is_held_out, sample_plan
from ..emoji.score import OWN_COLOURS
from ..emoji.words import COLOURS

__all__ = ["KINDS", "Edit", "Weighed", "draw_edits", "draw_weighed"]

KINDS: tuple[str, ...] = ("swap", "refine", "colour")

Said = tuple[str, str | None]
"""A noun and its colour."""


@dataclass(frozen=True)
class Edit:
    """One edit.

    source, target: the prompts.
    things:         how many there are, in both.
    thing:          which of them changes, as a place in the order of the prompt.
    before, after:  what it is in each.
    """

    kind: str
    source: str
    target: str
    things: int
    thing: int
    before: Said
    after: Said
    latent_seed: int


@dataclass(frozen=True)
class Weighed:
    """A prompt with one coloured thing, whose colour is to be weighed."""

    prompt: str
    noun: str
    colour: str
    latent_seed: int


def draw_edits(
    seed: int, nouns: Sequence[str], count: int, things: Sequence[int] = (1, 2)
) -> tuple[Edit, ...]:
    """`count` edits, the kinds in turn, and in turn scenes of so many `things` for each kind.

    seed: of the whole draw, a range constant of `prompts` plus the run's seed.
    """
    _check(nouns, count, "edits")
    if not things or not all(1 <= each <= 3 for each in things):
        raise ValueError(f"things: {list(things)} came; expected some of 1, 2 and 3")
    rng = np.random.default_rng(seed)
    return tuple(
        _edit(rng, nouns, KINDS[i % 3], things[i // 3 % len(things)]) for i in range(count)
    )


def draw_weighed(seed: int, nouns: Sequence[str], count: int) -> tuple[Weighed, ...]:
    """`count` prompts of one coloured thing each."""
    _check(nouns, count, "prompts")
    rng = np.random.default_rng((seed, 1))
    found: list[Weighed] = []
    while len(found) < count:
        plan = sample_plan(rng, nouns=nouns, count=1, style=None, colours=1.0)
        (thing,) = plan.things
        if thing.colour in _foreign(thing.noun):
            assert thing.colour is not None
            seeds = int(rng.integers(2**31))
            found.append(Weighed(_said(plan, thing), thing.noun, thing.colour, seeds))
    return tuple(found)


def _check(nouns: Sequence[str], count: int, argument: str) -> None:
    if len(nouns) < 3:
        raise ValueError(f"nouns: {len(nouns)} came; expected at least 3")
    if count < 1:
        raise ValueError(f"{argument}: {count} came; expected at least 1")


def _edit(rng: np.random.Generator, nouns: Sequence[str], kind: str, things: int) -> Edit:
    while True:
        plan = sample_plan(rng, nouns=nouns, count=things, style=None)
        at = int(rng.integers(things))
        old = plan.things[at]
        if kind == "swap":
            others = [noun for noun in nouns if noun not in {t.noun for t in plan.things}]
            before, after = old, replace(old, noun=str(rng.choice(others)))
        else:
            first, second = (str(c) for c in rng.choice(_foreign(old.noun), 2, replace=False))
            before = replace(old, colour=None if kind == "refine" else first)
            after = replace(old, colour=second)
        if not any(is_held_out(_with(plan, at, thing)) for thing in (before, after)):
            return Edit(
                kind=kind,
                source=_said(plan, before, at),
                target=_said(plan, after, at),
                things=things,
                thing=at,
                before=(before.noun, before.colour),
                after=(after.noun, after.colour),
                latent_seed=int(rng.integers(2**31)),
            )


def _foreign(noun: str) -> list[str]:
    """Colours that the glyph does not wear by itself."""
    return [colour for colour in COLOURS if colour not in OWN_COLOURS.get(noun, ())]


def _with(plan: Plan, at: int, thing: Thing) -> Plan:
    return replace(plan, things=(*plan.things[:at], thing, *plan.things[at + 1 :]))


def _said(plan: Plan, thing: Thing, at: int = 0) -> str:
    """The whole caption, with articles and the place."""
    return caption(_with(plan, at, thing).things, plan.relation, plan.background, None)
