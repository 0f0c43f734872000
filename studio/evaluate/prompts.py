"""The prompts of the suites: balanced groups of captions that no training run has seen.

ours: training draws its scenes from small seeds, the suites from ranges above 7 million, one a
purpose, so that nothing chosen on one range is measured on the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..emoji.plan import Plan
from ..emoji.sample import sample_plan
from ..emoji.words import STYLES

__all__ = [
    "EDIT_SEEDS",
    "EDIT_TUNING_SEEDS",
    "EVALUATION_SEEDS",
    "GROUPS",
    "LABELLING_SEEDS",
    "SPLITS",
    "TUNING_SEEDS",
    "Asked",
    "draw_prompts",
]

EVALUATION_SEEDS = 9_000_000
"""Figures: the generator of run `seed` is `default_rng(EVALUATION_SEEDS + seed)`."""
TUNING_SEEDS = 8_000_000
"""Choices, such as a threshold or the guidance, are made on this range, never on the one above."""
LABELLING_SEEDS = 7_000_000
"""Pictures that people label."""
EDIT_SEEDS = 9_500_000
"""Figures of edits. A run's seed is less than half a million, so that no two ranges meet."""
EDIT_TUNING_SEEDS = 8_500_000
"""How edits are made by default, a blend's threshold for one, is chosen on this range only."""

GROUPS: dict[str, float] = {"one thing": 2, "two things": 2, "three things": 1, "styles": 1}
"""Name -> share of the prompts: 80, 80, 40, 40 of 240. Styles hold one or two things."""
SPLITS: dict[str, bool] = {"seen": False, "held out": True}
"""Name -> whether the scene holds a combination that training never sees; half of each group."""


@dataclass(frozen=True)
class Asked:
    """One prompt: its group and split, the plan whose caption it is, the seed of its latents."""

    group: str
    split: str
    plan: Plan
    latent_seed: int

    @property
    def prompt(self) -> str:
        return self.plan.caption


def draw_prompts(seed: int, nouns: Sequence[str], count: int) -> tuple[Asked, ...]:
    """Draw `count` prompts over `nouns`, group by group.

    seed: of the whole draw, a range constant of this module plus the run's seed.
    """
    least = 2 * int(sum(GROUPS.values()))
    if count < least:
        raise ValueError(f"prompts: {count} came; expected at least {least}, one a group and split")
    if len(nouns) < 3:
        raise ValueError(f"nouns: {len(nouns)} came; expected at least 3 to draw three things")
    rng = np.random.default_rng(seed)
    edges = np.round(np.cumsum([0, *GROUPS.values()]) / sum(GROUPS.values()) * count).astype(int)
    drawn = []
    for group, size in zip(GROUPS, np.diff(edges), strict=True):
        for i in range(int(size)):
            split = list(SPLITS)[i % 2]
            plan = _plan(rng, nouns, group, held_out=SPLITS[split], turn=i // 2)
            drawn.append(Asked(group, split, plan, int(rng.integers(2**31))))
    return tuple(drawn)


def _plan(
    rng: np.random.Generator, nouns: Sequence[str], group: str, *, held_out: bool, turn: int
) -> Plan:
    if group == "styles":  # in turn, so that each style is asked for equally often
        return sample_plan(rng, nouns=nouns, held_out=held_out, style=STYLES[turn % len(STYLES)])
    count = list(GROUPS).index(group) + 1
    return sample_plan(rng, nouns=nouns, count=count, held_out=held_out, style=None)
