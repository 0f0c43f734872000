"""What the judge finds in regions: their own things, inside them, alone, and in their colour.

A thing is inside a region when more than half of its mask, the visible pixels that the judge gives
it, lies in the region. Regions do not overlap, so it is inside one at most; a thing on the border
of two counts where it mostly is, and one that is mostly outside all of them counts nowhere. The
centre would not do: that of a crescent or of a thing partly covered may lie outside of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..emoji.expect import expect
from ..emoji.plan import Box
from ..emoji.render import Scene
from ..emoji.score import score
from .regions_prompts import Placed

__all__ = ["Seen", "Verdict", "rasterised", "seen_in"]

_MOSTLY, _NEARLY = 0.5, 0.9  # more than the first, at least the second


@dataclass(frozen=True)
class Verdict:
    """On one region.

    found:  its noun is in the picture, wherever.
    inside: a thing of its noun is inside.    within: with 90 % of its mask or more.
    alone:  no thing of another region's noun is inside; so it is also when nothing is there.
    worn:   the thing inside wears the colour said; None when none is said or nothing is inside.
    """

    found: bool
    inside: bool
    within: bool
    alone: bool
    worn: bool | None

    @property
    def right(self) -> bool:
        """Its thing inside, alone, and in no wrong colour."""
        return self.inside and self.alone and self.worn is not False


@dataclass(frozen=True)
class Seen:
    """What the judge saw in a picture, region by region."""

    regions: tuple[Verdict, ...]


def seen_in(scene: Scene, asked: Placed, places: NDArray[np.bool_]) -> Seen:
    """places: bool [R, H, W], where the regions are in the picture."""
    part = np.array(
        [[(mask & place).sum() / max(mask.sum(), 1) for mask in scene.masks] for place in places],
    ).reshape(len(places), len(scene.nouns))
    return Seen(tuple(_verdict(scene, asked, r, part[r]) for r in range(len(places))))


def rasterised(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.bool_]:
    """[R, H, W]: the pixels whose centres are in each box."""
    y, x = ((np.arange(side) + 0.5) / side for side in size)
    found = [
        ((top <= y) & (y < bottom))[:, None] & (left <= x) & (x < right)
        for left, top, right, bottom in boxes
    ]
    return np.array(found)


def _verdict(scene: Scene, asked: Placed, r: int, part: NDArray[np.float64]) -> Verdict:
    noun = asked.nouns[r]
    inside = np.flatnonzero(part > _MOSTLY)
    there = [scene.nouns[i] for i in inside]
    own = score(_of(scene, inside), expect(asked.texts[r])).things[0]
    return Verdict(
        found=noun in scene.nouns,
        inside=own.found,
        within=any(scene.nouns[i] == noun for i in np.flatnonzero(part >= _NEARLY)),
        alone=not set(there) & (set(asked.nouns) - {noun}),
        worn=own.colour_ok if own.found else None,
    )


def _of(scene: Scene, chosen: NDArray[np.intp]) -> Scene:
    """The scene with the chosen things only."""
    return Scene(
        nouns=tuple(scene.nouns[i] for i in chosen),
        colours=tuple(scene.colours[i] for i in chosen),
        boxes=tuple(scene.boxes[i] for i in chosen),
        masks=scene.masks[chosen],
        background=scene.background,
        style=scene.style,
    )
