"""The prompts that are composed: pairs that training never saw together, and three things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..emoji.plan import Plan
from ..emoji.sample import sample_plan
from ..emoji.words import HELD_OUT_PAIRS

__all__ = ["COMPOSE_SEEDS", "COMPOSE_TUNING_SEEDS", "GROUPS", "Composed", "draw_composed"]

COMPOSE_SEEDS = 10_000_000
"""Figures of composition: a range that meets none of `prompts`."""
COMPOSE_TUNING_SEEDS = 10_500_000
"""Step sizes and intervals are chosen on this range only."""

GROUPS: tuple[str, ...] = ("held-out pairs", "three things")


@dataclass(frozen=True)
class Composed:
    """One prompt; things are (noun, colour, size) in its order."""

    group: str
    prompt: str
    things: tuple[tuple[str, str | None, str | None], ...]
    latent_seed: int

    @property
    def nouns(self) -> tuple[str, ...]:
        return tuple(noun for noun, _, _ in self.things)

    @property
    def attributes(self) -> dict[str, list[str]]:
        """Size and colour words of each noun that has one."""
        said = {noun: [w for w in (size, colour) if w] for noun, colour, size in self.things}
        return {noun: words for noun, words in said.items() if words}


def draw_composed(seed: int, nouns: Sequence[str], count: int) -> tuple[Composed, ...]:
    """`count` prompts, the groups in turn.

    seed: of the whole draw, a range constant of this module plus the run's seed.
    """
    if count < 1:
        raise ValueError(f"prompts: {count} came; expected at least 1")
    pairs = [pair for pair in HELD_OUT_PAIRS if pair <= set(nouns)]
    if len(nouns) < 3 or not pairs:
        raise ValueError(
            f"nouns: came {list(nouns)}; expected 3 or more, with a pair that training never sees"
        )
    rng = np.random.default_rng(seed)
    return tuple(_composed(rng, nouns, i % len(GROUPS)) for i in range(count))


def _composed(rng: np.random.Generator, nouns: Sequence[str], group: int) -> Composed:
    plan = (
        _pair(rng, nouns)
        if group == 0
        else sample_plan(rng, nouns=nouns, count=3, held_out=None, style=None)
    )
    things = tuple((thing.noun, thing.colour, thing.size) for thing in plan.things)
    return Composed(GROUPS[group], plan.caption, things, int(rng.integers(2**31)))


def _pair(rng: np.random.Generator, nouns: Sequence[str]) -> Plan:
    pairs = sorted(sorted(pair) for pair in HELD_OUT_PAIRS if pair <= set(nouns))
    chosen = pairs[int(rng.integers(len(pairs)))]
    return sample_plan(rng, nouns=chosen, count=2, held_out=True, style=None)
