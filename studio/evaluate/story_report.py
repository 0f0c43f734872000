"""What the suite `story` found, as a table, as CSV and as JSON, each method against the base.

Intervals are the percentile bootstrap's (see `ratios`): stories are drawn anew with replacement,
all methods' answers to a story together.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .compared import Compared, by_group, where_drawn
from .judging import accuracy_lines
from .ratios import Counts
from .shares import Shares, share_lines
from .story_prompts import GROUPS, Told
from .story_score import Seen

__all__ = ["Masks", "StoryOutcome", "StoryReport"]

Masks: TypeAlias = Literal["judge", "words"]
"""Who says where a subject is: the judge, as a segmenter, or the maps of its word."""

_CHANGES = ("number", "fused", "colour", "likeness")


StoryOutcome: TypeAlias = Compared[Told, Seen]


@dataclass(frozen=True)
class StoryReport:
    """What was measured, on which settings, by which judge.

    skipped: stories of whose portraits one could not be drawn, which count nowhere.
    """

    model: str
    methods: tuple[str, ...]
    masks: Masks
    outcomes: tuple[StoryOutcome, ...]
    skipped: int
    steps: int
    guidance: float
    seed: int
    tuning: bool
    seconds: float
    judge: Mapping[str, object]

    def figures(self) -> Iterator[Shares]:
        """Every method in each group, and in all of them together; see `story_score`.

        number: of scenes; fused: of scenes with the right number; found: of subjects; colour,
        likeness: of subjects found.
        """
        for group, chosen in by_group(self.outcomes, GROUPS):
            for method in self.methods:
                yield _figures(group, method, chosen)

    def table(self) -> str:
        """Markdown."""
        lines = [
            f"{self.model}: {len(self.outcomes)} stories "
            f"{where_drawn(self.steps, self.guidance, self.seed, tuning=self.tuning)}; places by "
            f"{'the judge' if self.masks == 'judge' else 'word maps'}, in portraits and in the "
            f"scene without control; {self.skipped} left out, whose portraits could not be drawn.",
            "Number: as many things as subjects; fused: of these, one drawn twice for another, one "
            "inside another, or in another's colour; found: subjects that are there; colour, "
            "likeness: theirs to their portraits. Change: relative to base. 95 % intervals by "
            "bootstrap over stories. s: of the scene, and of portraits that are drawn beside it.",
        ]
        lines += share_lines(self.figures())
        lines += accuracy_lines(self.judge)
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """One row a figure: group, method, figure, value, low, high."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["group", "method", "stories", "figure", "value", "low", "high"])
        for row in self.figures():
            figures = {**row.shares, **{f"{n} change": c for n, c in row.changes.items()}}
            for name, figure in figures.items():
                facts = figure.facts()
                values = [facts[key] for key in ("value", "low", "high")]
                rows.writerow([row.group, row.method, row.prompts, name, *values])
            rows.writerow([row.group, row.method, row.prompts, "s", round(row.seconds, 3), "", ""])
        return text.getvalue()

    def to_json(self) -> str:
        """One JSON object: the facts of `table` and each story's verdicts."""
        return json.dumps(
            {
                "suite": "story",
                "model": self.model,
                "stories": len(self.outcomes),
                "skipped": self.skipped,
                "methods": self.methods,
                "masks": self.masks,
                "steps": self.steps,
                "guidance": self.guidance,
                "seed": self.seed,
                "tuning": self.tuning,
                "seconds": self.seconds,
                "figures": [row.facts("stories") for row in self.figures()],
                "verdicts": [outcome.facts() for outcome in self.outcomes],
                "judge": dict(self.judge),
            },
            ensure_ascii=False,
            indent=2,
        )


def _figures(group: str, method: str, chosen: Sequence[StoryOutcome]) -> Shares:
    ours, base = (_counts([o.seen[name] for o in chosen]) for name in (method, "base"))
    return Shares.of(group, method, chosen, ours, base, _CHANGES)


def _counts(seen: Sequence[Seen]) -> dict[str, Counts]:
    return {
        "number": [(int(s.number), 1) for s in seen],
        "fused": [(int(s.fused), int(s.number)) for s in seen],
        "found": [(s.found, s.subjects) for s in seen],
        "colour": [(s.coloured, s.found) for s in seen],
        "likeness": [(s.likeness, s.found) for s in seen],
    }
