"""What `measure_word_maps` found: means over words, by grid and kind of word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from math import sqrt

__all__ = ["WordFigures", "WordMapReport", "WordOverlap", "summarise"]


@dataclass(frozen=True)
class WordOverlap:
    """One word's map in one picture against the judge's masks.

    iou, mass:             with the mask of the word's own thing.
    iou_image:             the same IoU at the picture's size, the map upsampled before the cut.
    other_iou, other_mass: with the other thing's mask; None but in pictures of two things.
    """

    grid: tuple[int, int]
    kind: str
    iou: float
    iou_image: float
    mass: float
    other_iou: float | None
    other_mass: float | None


@dataclass(frozen=True)
class WordFigures:
    """Means over the words of a kind on a grid.

    iou_error: 1.96 standard errors of `iou`.
    pairs:     words in pictures of two things, over which `own_*` and `other_*` are means; the
               ratios divide these means, None without pairs.
    """

    grid: tuple[int, int]
    kind: str
    words: int
    iou: float
    iou_error: float
    iou_image: float
    pairs: int
    own_iou: float | None
    other_iou: float | None
    iou_ratio: float | None
    own_mass: float | None
    other_mass: float | None
    mass_ratio: float | None


@dataclass(frozen=True)
class WordMapReport:
    """The figures, and how they were made.

    pictures: with every thing of the prompt found by the judge; only these count.
    left_out: the other ones.
    fraction: of the cut, see `overlap`.
    """

    pictures: int
    left_out: int
    steps: int
    guidance: float
    fraction: float
    figures: tuple[WordFigures, ...]

    def figure(self, kind: str = "noun", grid: tuple[int, int] = (16, 16)) -> WordFigures:
        """One row."""
        for row in self.figures:
            if (row.kind, row.grid) == (kind, grid):
                return row
        known = ", ".join(f"{row.kind} at {row.grid}" for row in self.figures) or "none at all"
        raise ValueError(f"kind, grid: {kind} at {grid} came; expected one of: {known}")

    def table(self) -> str:
        """Markdown, one row a grid and kind of word."""
        lines = [
            f"{self.pictures} pictures ({self.left_out} left out: a thing is missing), "
            f"{self.steps} steps, guidance {self.guidance:g}; maps cut at {self.fraction:g} of "
            "their range. Own and other: in pictures of two things.",
            "",
            "| grid | word | n | IoU | IoU, full size | n of two | own IoU | other IoU "
            "| ratio | own mass | other mass | ratio |",
            "|" + "---|" * 12,
        ]
        for row in self.figures:
            cells = [
                f"{row.grid[0]} × {row.grid[1]}",
                row.kind,
                str(row.words),
                f"{row.iou:.3f} ± {row.iou_error:.3f}",
                f"{row.iou_image:.3f}",
                str(row.pairs),
                *map(_shown, (row.own_iou, row.other_iou, row.iou_ratio)),
                *map(_shown, (row.own_mass, row.other_mass, row.mass_ratio)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One JSON object, all digits."""
        return json.dumps(asdict(self), indent=2)


def summarise(overlaps: Iterable[WordOverlap]) -> Iterator[WordFigures]:
    """Means by grid and kind, in the order in which these first come."""
    groups: dict[tuple[tuple[int, int], str], list[WordOverlap]] = {}
    for overlap in overlaps:
        groups.setdefault((overlap.grid, overlap.kind), []).append(overlap)
    for (grid, kind), words in groups.items():
        pairs = [word for word in words if word.other_iou is not None]
        own, other = _mean(p.iou for p in pairs), _mean(p.other_iou for p in pairs)
        inside, outside = _mean(p.mass for p in pairs), _mean(p.other_mass for p in pairs)
        mean = sum(word.iou for word in words) / len(words)
        spread = sum((word.iou - mean) ** 2 for word in words) / max(len(words) - 1, 1)
        yield WordFigures(
            grid=grid,
            kind=kind,
            words=len(words),
            iou=mean,
            iou_error=1.96 * sqrt(spread / len(words)),
            iou_image=sum(word.iou_image for word in words) / len(words),
            pairs=len(pairs),
            own_iou=own,
            other_iou=other,
            iou_ratio=_ratio(own, other),
            own_mass=inside,
            other_mass=outside,
            mass_ratio=_ratio(inside, outside),
        )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ratio(own: float | None, other: float | None) -> float | None:
    """None when there is no other, or nothing of it."""
    return own / other if own is not None and other else None


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
