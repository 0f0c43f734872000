"""What the judge says of a scene and its portraits: who is there, who melted, who looks the same.

ours, after the figures of MultiHuman-Testbench (arXiv:2506.20879), count and likeness of each:

    number   as many things are seen as there are subjects
    fused    among those: a subject is drawn twice while another is missing; or one lies by more
             than half in the box of another; or one wears another one's colour
    colour   a subject that is there wears the colour that it has in its portrait
    likeness of a subject that is there and its portrait, each cut out by its mask and scaled to
             one square:  Σ (1 − |a − b|) over both masks / cells of either mask
             with |a − b| the mean difference of the channels in [0, 1]: 1 = the same, whatever size
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..emoji.render import Scene, mask_box
from .story_prompts import Told

__all__ = ["Portrait", "Seen", "likeness", "portrait_in", "seen_in"]

_SIDE = 32  # of the square to which things are scaled


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and where its subject is: [H, W] bool, by the judge."""

    image: Image.Image
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """Of one scene.

    subjects, things: how many were asked for, and how many are seen.
    found:    how many of the subjects are there.
    doubled, inside, swapped: the three ways to be fused.
    coloured: how many of those found wear their portrait's colour.
    likeness: sum over those found.
    """

    subjects: int
    things: int
    found: int
    doubled: bool
    inside: bool
    swapped: bool
    coloured: int
    likeness: float

    @property
    def number(self) -> bool:
        """Whether as many things are seen as there are subjects."""
        return self.things == self.subjects

    @property
    def fused(self) -> bool:
        """Whether somebody melted, in a picture with the right number."""
        return self.number and (self.doubled or self.inside or self.swapped)


def portrait_in(scene: Scene, image: Image.Image, noun: str, colour: str) -> Portrait | None:
    """The portrait, if the judge sees one thing in it, which is that noun in that colour."""
    if scene.nouns != (noun,) or scene.colours != (colour,):
        return None
    return Portrait(image, scene.masks[0])


def seen_in(scene: Scene, image: Image.Image, told: Told, portraits: Sequence[Portrait]) -> Seen:
    """What the judge saw, and how alike the subjects are to their portraits."""
    at = [_place(scene, n, c) for n, c in zip(told.nouns, told.colours, strict=True)]
    there = [(i, place) for i, place in enumerate(at) if place is not None]
    wears = [(told.colours[i], scene.colours[place]) for i, place in there]
    boxes = scene.boxes
    pairs = ((a, b) for a in range(len(boxes)) for b in range(a + 1, len(boxes)))
    return Seen(
        subjects=len(told.nouns),
        things=len(scene.nouns),
        found=len(there),
        doubled=len(there) < len(at) and any(scene.nouns.count(n) > 1 for n in told.nouns),
        inside=any(_inside(boxes[a], boxes[b]) > 0.5 for a, b in pairs),
        swapped=any(own != worn and worn in told.colours for own, worn in wears),
        coloured=sum(own == worn for own, worn in wears),
        likeness=sum(
            likeness(portraits[i].image, portraits[i].mask, image, scene.masks[place])
            for i, place in there
        ),
    )


def likeness(
    a: Image.Image, mask_a: NDArray[np.bool_], b: Image.Image, mask_b: NDArray[np.bool_]
) -> float:
    """[0, 1]; the masks [H, W] are of the pictures' sizes, and neither is empty."""
    (pixels, own), (others, theirs) = (
        _cut(image, mask) for image, mask in ((a, mask_a), (b, mask_b))
    )
    both, either = own & theirs, own | theirs
    alike = 1 - np.abs(pixels - others).mean(-1)
    return float(alike[both].sum() / either.sum())


def _place(scene: Scene, noun: str, colour: str) -> int | None:
    """Number of the thing: of several of its noun the one in its colour, else the largest."""
    found = [i for i, seen in enumerate(scene.nouns) if seen == noun]
    return next((i for i in found if scene.colours[i] == colour), found[0] if found else None)


def _inside(a: Sequence[float], b: Sequence[float]) -> float:
    """The part of the smaller box that lies in the other one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(width, 0.0) * max(height, 0.0) / least if least else 0.0


def _cut(
    image: Image.Image, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The thing in its box as a square: [S, S, 3] in [0, 1], [S, S] bool."""
    height, width = mask.shape
    left, top, right, bottom = mask_box(mask)
    box = (left * width, top * height, right * width, bottom * height)
    square = (_SIDE, _SIDE)
    pixels = image.convert("RGB").resize(square, Image.Resampling.BILINEAR, box)
    cells = Image.fromarray(mask).resize(square, Image.Resampling.NEAREST, box)
    return np.asarray(pixels, np.float64) / 255, np.asarray(cells, bool)
