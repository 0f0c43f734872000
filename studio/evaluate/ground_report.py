"""What the suite `ground` found, as a table and as JSON, each rung against the plain maps.

Intervals of IoU are the percentile bootstrap's, those of pointing Wilson's (see `ratios`, `rates`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from ..pipelines.grounding import NOISE
from .ground_scenes import GROUPS
from .rates import Rate, rate_of
from .ratios import Interval95, mean_of

__all__ = ["GroundFigures", "GroundOutcome", "GroundReport", "Hit"]


@dataclass(frozen=True)
class Hit:
    """IoU of the mask with the thing, whether the point lies on it, seconds of the grounding."""

    iou: float
    pointed: bool
    seconds: float


@dataclass(frozen=True)
class GroundOutcome:
    """One expression; limit: the best IoU that the map's grid allows."""

    group: str
    expression: str
    limit: float
    hits: Mapping[str, Hit]

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "group": self.group,
            "expression": self.expression,
            "limit": round(self.limit, 4),
            "hits": {
                name: {**asdict(hit), "iou": round(hit.iou, 4), "seconds": round(hit.seconds, 3)}
                for name, hit in self.hits.items()
            },
        }


@dataclass(frozen=True)
class GroundFigures:
    """Of one rung in a group; gain: mean IoU above that of the first rung, picture by picture."""

    group: str
    rules: str
    iou: Interval95
    gain: Interval95
    limit: float
    pointed: Rate
    seconds: float

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            "group": self.group,
            "rules": self.rules,
            "iou": self.iou.facts(),
            "gain": self.gain.facts(),
            "limit": round(self.limit, 4),
            "pointed": self.pointed.facts(),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class GroundReport:
    """noise: part of the way at which the model looked; None = 0.2."""

    model: str
    rules: tuple[str, ...]
    outcomes: tuple[GroundOutcome, ...]
    noise: float | None
    seed: int
    tuning: bool
    seconds: float

    def figures(self) -> Iterator[GroundFigures]:
        """Of all expressions, then of each group."""
        for group in ("all", *GROUPS):
            of = [o for o in self.outcomes if group in ("all", o.group)]
            if not of:
                continue
            first = self.rules[0]
            for name in self.rules:
                hits = [o.hits[name] for o in of]
                yield GroundFigures(
                    group=group,
                    rules=name,
                    iou=mean_of([hit.iou for hit in hits]),
                    gain=mean_of([o.hits[name].iou - o.hits[first].iou for o in of]),
                    limit=sum(o.limit for o in of) / len(of),
                    pointed=rate_of(hit.pointed for hit in hits),
                    seconds=sum(hit.seconds for hit in hits) / len(hits),
                )

    def table(self) -> str:
        """Markdown."""
        noise = f"noise {NOISE[0] if self.noise is None else self.noise:g}"
        drawn = "tuning range" if self.tuning else "evaluation range"
        lines = [
            f"# Grounding with {self.model}",
            "",
            f"{len(self.outcomes)} expressions, {noise}, seed {self.seed} of the {drawn}, "
            f"{self.seconds:.0f} s.",
            "",
            "| expressions | rules | mean IoU | gain | best of the grid | points at it | seconds |",
            "|---|---|---|---|---|---|---|",
        ]
        for found in self.figures():
            cells = (
                found.group,
                found.rules,
                found.iou.text(),
                found.gain.text(),
                f"{found.limit:.2f}",
                found.pointed.text(),
                f"{found.seconds:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One object."""
        facts = {
            "suite": "ground",
            "model": self.model,
            "expressions": len(self.outcomes),
            "noise": self.noise,
            "seed": self.seed,
            "tuning": self.tuning,
            "seconds": self.seconds,
            "figures": [found.facts() for found in self.figures()],
        }
        return json.dumps(facts, indent=2, ensure_ascii=False)
