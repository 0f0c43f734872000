"""What the suite `compose` found, as a table and as JSON, each method against the base.

Intervals are the percentile bootstrap's (see `ratios`): prompts are drawn anew with replacement,
all methods' answers to a prompt together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from .compared import Compared, by_group, pace, where_drawn
from .compose_prompts import GROUPS, Composed
from .judging import accuracy_lines
from .ratios import Counts, Interval95, change_of, share_of

if TYPE_CHECKING:
    from .compose_methods import ComposeSettings

__all__ = ["ComposeFigures", "ComposeReport", "Outcome", "Seen"]


@dataclass(frozen=True)
class Seen:
    """What the judge saw in a picture: things asked for, those that are missing, and of those that
    are found and have a colour said how many there are, and how many wear another one."""

    things: int
    missing: int
    coloured: int
    wrong: int


Outcome: TypeAlias = Compared[Composed, Seen]


@dataclass(frozen=True)
class ComposeFigures:
    """Of a method in a group.

    missing: part of the pictures in which a thing is missing.
    wrong:   part of the found things with a colour said that wear another one.
    missing_change, wrong_change: relative to the base: −0.3 is 30 % less.
    right:   part of the pictures with every thing there and no colour wrong.
    seconds: mean of a picture.    times: those of the base.
    """

    group: str
    method: str
    missing: Interval95
    missing_change: Interval95
    wrong: Interval95
    wrong_change: Interval95
    right: Interval95
    seconds: float
    times: float

    def facts(self) -> dict[str, object]:
        """For JSON."""
        found: dict[str, object] = {"group": self.group, "method": self.method}
        for name in ("missing", "missing_change", "wrong", "wrong_change", "right"):
            found[name] = getattr(self, name).facts()
        return found | {"seconds": round(self.seconds, 3), "times": round(self.times, 3)}


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

    def figures(self) -> Iterator[ComposeFigures]:
        """Every method in each group, and in all of them together."""
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
        group = None
        for row in self.figures():
            if row.group != group:
                group = row.group
                lines += [
                    "",
                    f"**{group}**",
                    "",
                    "| method | missing | change | wrong | change | right | s | × base |",
                    "|" + "---|" * 8,
                ]
            shares = (row.missing, row.missing_change, row.wrong, row.wrong_change, row.right)
            cells = [row.method, *(share.text() for share in shares)]
            lines.append(f"| {' | '.join(cells)} | {row.seconds:.2f} | {row.times:.2f} |")
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


def _figures(group: str, method: str, chosen: Sequence[Outcome]) -> ComposeFigures:
    def counts(name: str) -> tuple[Counts, Counts, Counts]:
        seen = [outcome.seen[name] for outcome in chosen]
        right = [int(not s.missing and not s.wrong) for s in seen]
        return (
            [(int(s.missing > 0), 1) for s in seen],
            [(s.wrong, s.coloured) for s in seen],
            [(r, 1) for r in right],
        )

    ours, base = counts(method), counts("base")
    seconds, times = pace(chosen, method)
    return ComposeFigures(
        group=group,
        method=method,
        missing=share_of(ours[0]),
        missing_change=change_of(ours[0], base[0]),
        wrong=share_of(ours[1]),
        wrong_change=change_of(ours[1], base[1]),
        right=share_of(ours[2]),
        seconds=seconds,
        times=times,
    )
