"""Shares of methods beside their change against a base, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .compared import Asked, Compared, Saw, pace
from .ratios import Counts, Interval95, change_of, share_of

__all__ = ["Shares", "share_lines"]


@dataclass(frozen=True)
class Shares:
    """Of a method in a group of so many prompts.

    shares:  by the name of what is counted.
    changes: of some of them, relative to the base: −0.3 is 30 % less.
    seconds: mean of a picture.    times: those of the base.
    """

    group: str
    method: str
    prompts: int
    shares: Mapping[str, Interval95]
    changes: Mapping[str, Interval95]
    seconds: float
    times: float

    @classmethod
    def of(
        cls,
        group: str,
        method: str,
        chosen: Sequence[Compared[Asked, Saw]],
        ours: Mapping[str, Counts],
        base: Mapping[str, Counts],
        changes: Iterable[str],
    ) -> Shares:
        """From what was counted in each of the chosen prompts, by the method and by its base."""
        return cls(
            group,
            method,
            len(chosen),
            {name: share_of(counts) for name, counts in ours.items()},
            {name: change_of(ours[name], base[name]) for name in changes},
            *pace(chosen, method),
        )

    def facts(self, prompts: str = "prompts") -> dict[str, object]:
        """For JSON; `prompts`: what those are called."""
        return {
            "group": self.group,
            "method": self.method,
            prompts: self.prompts,
            **{name: share.facts() for name, share in self.shares.items()},
            **{f"{name}_change": change.facts() for name, change in self.changes.items()},
            "seconds": round(self.seconds, 3),
            "times": round(self.times, 3),
        }


def share_lines(
    rows: Iterable[Shares], heads: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Markdown: a table for each group, a line for each method.

    heads: what stands over a column, where that is not the name of what is counted.
    """
    lines: list[str] = []
    group = None
    for row in rows:
        if row.group != group:
            group = row.group
            parts = [[heads.get(n, n), *["change"] * (n in row.changes)] for n in row.shares]
            names = ["method", *(head for part in parts for head in part), "s", "× base"]
            lines += ["", f"**{group}** ({row.prompts})", ""]
            lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
        cells = [row.method]
        for name, share in row.shares.items():
            cells.append(share.text())
            cells += [row.changes[name].text()] if name in row.changes else []
        lines.append(f"| {' | '.join(cells)} | {row.seconds:.2f} | {row.times:.2f} |")
    return lines
