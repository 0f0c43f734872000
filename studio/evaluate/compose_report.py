"""What the suite `compose` found, as a table and as JSON, each method against the base.

Intervals are the percentile bootstrap's (see `ratios`): prompts are drawn anew with replacement,
all methods' answers to a prompt together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from .compared import Compared, by_group, where_drawn
from .compose_prompts import GROUPS, Composed
from .judging import accuracy_lines
from .ratios import Counts
from .shares import Shares, share_lines

if TYPE_CHECKING:
    from .compose_methods import ComposeSettings

__all__ = ["ComposeReport", "Outcome", "Seen"]


@dataclass(frozen=True)
class Seen:
    """What the judge saw in a picture: things asked for, those that are missing, and of those that
    are found and have a colour said how many there are, and how many wear another one."""

    things: int
    missing: int
    coloured: int
    wrong: int


_CHANGES = ("missing", "wrong")

Outcome: TypeAlias = Compared[Composed, Seen]


@dataclass(frozen=True)
class ComposeReport:
    """What was measured, on which settings, by which judge.

    tuning: whether the prompts are from the range on which settings are chosen.
    judge:  the judge's own figures on rendered truth; empty when its card has none.
    """

    model: str
    methods: tuple[str, ...]
    settings: ComposeSettings
    outcomes: tuple[Outcome, ...]
    steps: int
    guidance: float
    seed: int
    tuning: bool
    seconds: float
    judge: Mapping[str, object]

    def figures(self) -> Iterator[Shares]:
        """Every method in each group, and in all of them together.

        missing: part of the pictures in which a thing is missing; wrong: part of the found things
        with a colour said that wear another one; right: part of the pictures with every thing there
        and no colour wrong.
        """
        for group, chosen in by_group(self.outcomes, GROUPS):
            for method in self.methods:
                yield _figures(group, method, chosen)

    def table(self) -> str:
        """Markdown."""
        made = self.settings
        lines = [
            f"{self.model}: {len(self.outcomes)} prompts "
            f"{where_drawn(self.steps, self.guidance, self.seed, tuning=self.tuning)}; "
            f"A-STAR's step size {made.step_size:g}"
            f"{' of the latents' if made.relative else ''}, in the first {made.guided:.0%}, its "
            f"ratio by {made.overlap}; step size of excite {made.excite:g}, of binding its "
            "authors'.",
            "Missing: pictures without one of their things; wrong: colours of found things; right: "
            "pictures with everything as said. Change: relative to base. 95 % intervals by "
            "bootstrap over prompts.",
        ]
        lines += share_lines(self.figures())
        lines += accuracy_lines(self.judge)
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One JSON object: the facts of `table` and each prompt's verdicts."""
        return json.dumps(
            {
                "suite": "compose",
                "model": self.model,
                "prompts": len(self.outcomes),
                "methods": self.methods,
                "settings": asdict(self.settings),
                "steps": self.steps,
                "guidance": self.guidance,
                "seed": self.seed,
                "tuning": self.tuning,
                "seconds": self.seconds,
                "figures": [row.facts() for row in self.figures()],
                "verdicts": [outcome.facts() for outcome in self.outcomes],
                "judge": dict(self.judge),
            },
            ensure_ascii=False,
            indent=2,
        )


def _figures(group: str, method: str, chosen: Sequence[Outcome]) -> Shares:
    ours, base = (_counts([o.seen[name] for o in chosen]) for name in (method, "base"))
    return Shares.of(group, method, chosen, ours, base, _CHANGES)


def _counts(seen: Sequence[Seen]) -> dict[str, Counts]:
    return {
        "missing": [(int(s.missing > 0), 1) for s in seen],
        "wrong": [(s.wrong, s.coloured) for s in seen],
        "right": [(int(not s.missing and not s.wrong), 1) for s in seen],
    }
