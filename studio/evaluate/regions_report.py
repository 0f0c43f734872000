"""What the suite `regions` found, as a table and as JSON, each mode of the control against none.

Intervals are the percentile bootstrap's (see `ratios`): prompts are drawn anew with replacement,
all regions of a prompt and all methods' answers to it together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from .compared import Compared, by_group, where_drawn
from .judging import accuracy_lines
from .ratios import Counts
from .regions_prompts import GROUPS, Placed
from .regions_score import Seen
from .shares import Shares, share_lines

if TYPE_CHECKING:
    from .regions_methods import RegionSettings

__all__ = ["BASE_AT_WORDS", "RegionOutcome", "RegionReport"]

BASE_AT_WORDS = "base at words"
"""The pictures of the base, judged at the places that words have: what `words` compares with."""

_CHANGES = ("inside", "right")
_HEADS = {"within": "≥ 90 %", "worn": "colour"}

RegionOutcome: TypeAlias = Compared[Placed, Seen]


@dataclass(frozen=True)
class RegionReport:
    """What was measured, on which settings, by which judge.

    methods: as they are judged, `BASE_AT_WORDS` among them.
    tuning:  whether the prompts are from the range on which settings are chosen.
    judge:   the judge's own figures on rendered truth; empty when its card has none.
    """

    model: str
    methods: tuple[str, ...]
    settings: RegionSettings
    outcomes: tuple[RegionOutcome, ...]
    steps: int
    guidance: float
    seed: int
    tuning: bool
    seconds: float
    judge: Mapping[str, object]

    def figures(self) -> Iterator[Shares]:
        """Every method in each group, and in all of them together; see `regions_score`.

        found, inside, within, alone: of regions; worn: of those with their thing inside and a
        colour said; right: of pictures, all of whose regions are right.
        """
        for group, chosen in by_group(self.outcomes, GROUPS):
            for method in self.methods:
                yield _figures(group, method, chosen)

    def table(self) -> str:
        """Markdown."""
        made, (start, end) = self.settings, self.settings.during
        lines = [
            f"{self.model}: {len(self.outcomes)} prompts "
            f"{where_drawn(self.steps, self.guidance, self.seed, tuning=self.tuning)}; the "
            f"picture's prompt weighs {made.base:g} within regions, which hold from {start:.0%} to "
            f"{end:.0%} of the steps; words have a place after {made.looks:.0%}.",
            "Found: regions whose noun is in the picture. Inside: with more than half of its mask "
            "in the region; ≥ 90 %: with so much of it. Alone: no noun of another region is "
            "inside, an empty region counts too. Colour: things inside that wear the colour said. "
            "Right: pictures with each thing inside, alone, in no wrong colour. Change: relative "
            "to base. 95 % intervals by bootstrap over prompts.",
            "Painted regions are ellipses, judged by the boxes they fill. Words choose their "
            f"places themselves: `words` compares with `{BASE_AT_WORDS}`, which is judged there.",
        ]
        lines += share_lines(self.figures(), _HEADS)
        lines += accuracy_lines(self.judge)
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One JSON object: the facts of `table` and each prompt's verdicts."""
        return json.dumps(
            {
                "suite": "regions",
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


def _figures(group: str, method: str, chosen: Sequence[RegionOutcome]) -> Shares:
    other = BASE_AT_WORDS if method in ("words", BASE_AT_WORDS) else "base"
    ours, base = (_counts([o.seen[name] for o in chosen]) for name in (method, other))
    return Shares.of(group, method, chosen, ours, base, _CHANGES)


def _counts(seen: Sequence[Seen]) -> dict[str, Counts]:
    """Of each picture how many of how many."""
    found: dict[str, Counts] = {
        name: [(sum(getattr(v, name) for v in s.regions), len(s.regions)) for s in seen]
        for name in ("found", "inside", "within", "alone")
    }
    said = [[v.worn for v in s.regions if v.worn is not None] for s in seen]
    found["worn"] = [(sum(worn), len(worn)) for worn in said]
    found["right"] = [(int(all(v.right for v in s.regions)), 1) for s in seen]
    return found
