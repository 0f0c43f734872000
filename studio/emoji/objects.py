"""From maps of probabilities to things: connected regions of one noun that the network is sure of.

ours: a thing counts when its region is large enough, the mean probability of its noun there beats
that of "reject" and a threshold, and "reject" does not hold a large part of its surroundings. The
thresholds were chosen on rendered scenes, never on generated pictures.
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

_MIN_AREA = 0.004  # of the picture; the smallest key drawn covers 0.0053
_SAME_THING = 0.25  # a region smaller than this part of the largest of its noun is a piece of it
_NEAR = 0.08  # ... when no further away than this, as a fraction of the picture; else it is dropped
_SURE = 0.6
_WHOLE = 0.6  # the noun's part of the pixels that are the noun's or rejected in its box


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
    rejected = best == REJECT
    found = []
    for noun in np.unique(best):
        if noun in (0, REJECT):
            continue
        for mask in _regions(best == noun, _MIN_AREA * area):
            sure = float(nouns[noun][mask].mean())
            if sure < _SURE or sure <= float(nouns[REJECT][mask].mean()):
                continue
            if mask.sum() < _WHOLE * (mask.sum() + _inside_box(rejected, mask).sum()):
                continue
            tint = TINTS[int(tints[:, mask].sum(1).argmax())]
            found.append(Found(CLASSES[noun], tint, mask))
    return sorted(found, key=lambda thing: -int(thing.mask.sum()))


def _inside_box(pixels: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    left, top, right, bottom = _box(mask)
    return pixels[top : bottom + 1, left : right + 1]


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
