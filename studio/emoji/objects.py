"""From maps of probabilities to things: connected regions of one noun that the network is sure of.

ours: a region counts as a thing when it is large enough, its noun's mean probability there beats
that of "reject" and a threshold, and its outline runs through the place: a region that borders on
rejected pixels or on another noun for long is a piece of something broken. The thresholds were
chosen on rendered scenes kept for that; how much of an outline may be rejected, on these and on 120
generated pictures labelled by eye, which count in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .words import BACKGROUNDS, COLOURS, HELD_OUT_NOUNS, NOUNS, STYLES

__all__ = [
    "CLASSES",
    "PLACES",
    "REJECT",
    "STYLE_NAMES",
    "TINTS",
    "Found",
    "components",
    "find_things",
]

# What the network's outputs mean, in their order.
CLASSES: tuple[str, ...] = ("background", *NOUNS, *HELD_OUT_NOUNS, "reject")
REJECT = len(CLASSES) - 1
TINTS: tuple[str | None, ...] = (*COLOURS, None)
PLACES: tuple[str, ...] = tuple(BACKGROUNDS)
STYLE_NAMES: tuple[str | None, ...] = (None, *STYLES)

_MIN_AREA = 0.006  # of the picture; the smallest thing drawn covers 0.015
_SAME_THING = 0.25  # a region smaller than this part of the largest of its noun is a piece of it
_NEAR = 0.08  # ... when no further away than this, as a fraction of the picture; else it is dropped
_SURE = 0.65
_BORDER_REJECTED = 0.2  # the part of the outline that may border on rejected pixels
_BORDER_OTHERS = 0.4  # ... on these or on other things


@dataclass(frozen=True, eq=False)
class Found:
    """A thing: its noun, its tint (None = its own colours), its mask `[H, W]`."""

    noun: str
    colour: str | None
    mask: NDArray[np.bool_]


def find_things(nouns: NDArray[np.float32], tints: NDArray[np.float32]) -> list[Found]:
    """The things in probabilities `[44, H, W]` and `[9, H, W]`, the largest first."""
    best = nouns.argmax(0)
    area = best.size
    found = []
    for noun in np.unique(best):
        if noun in (0, REJECT):
            continue
        for mask in _regions(best == noun, _MIN_AREA * area):
            sure = float(nouns[noun][mask].mean())
            if sure < _SURE or sure <= float(nouns[REJECT][mask].mean()):
                continue
            outline = best[_outline(mask)]
            rejected = int((outline == REJECT).sum())
            others = int(((outline != 0) & (outline != noun)).sum())
            if rejected > _BORDER_REJECTED * len(outline) or others > _BORDER_OTHERS * len(outline):
                continue
            tint = TINTS[int(tints[:, mask].sum(1).argmax())]
            found.append(Found(CLASSES[noun], tint, mask))
    return sorted(found, key=lambda thing: -int(thing.mask.sum()))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels two away from the mask: next to it lie cells that hold some of both sides."""
    near = _grown(mask)
    return _grown(near) & ~near


def _regions(mask: NDArray[np.bool_], least: float) -> list[NDArray[np.bool_]]:
    """The mask's things: small pieces join the nearest large region or are dropped."""
    labels = np.where(mask, components(_grown(mask)), 0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = sizes.max(initial=0)
    if largest < least:
        return []
    whole = [i for i in np.argsort(-sizes) if sizes[i] >= max(least, _SAME_THING * largest)]
    regions = {i: labels == i for i in whole}
    boxes = {i: _box(region) for i, region in regions.items()}
    for piece in np.flatnonzero(sizes):
        if piece in regions:
            continue
        pixels = labels == piece
        gaps = {i: _gap(_box(pixels), box) for i, box in boxes.items()}
        nearest = min(gaps, key=lambda i: gaps[i])
        if gaps[nearest] <= _NEAR * mask.shape[0]:
            regions[nearest] |= pixels
    return list(regions.values())


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By one pixel each way, so that hairline cuts do not make two things of one."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    grown = rows.copy()
    grown[:, 1:] |= rows[:, :-1]
    grown[:, :-1] |= rows[:, 1:]
    return grown


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _gap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """Free pixels between two boxes."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0)


def components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the 4-connected regions of `[H, W]` from 1; 0 is outside.

    Runs of each row are joined with the runs they touch in the row before.
    """
    h, w = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = (edges == 1).nonzero()
    ends = (edges == -1).nonzero()[1]
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = np.searchsorted(rows, np.arange(h + 1))
    for row in range(1, h):
        above, here = int(first[row - 1]), int(first[row])
        while above < first[row] and here < first[row + 1]:
            if starts[above] < ends[here] and starts[here] < ends[above]:
                parent[root(here)] = root(above)
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    roots = np.array([root(i) for i in range(len(rows))], np.int64)
    number = np.unique(roots, return_inverse=True)[1] + 1 if len(roots) else roots
    labels = np.zeros((h, w), np.int64)
    for row, start, end, value in zip(rows, starts, ends, number, strict=True):
        labels[row, start:end] = value
    return labels
