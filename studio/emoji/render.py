"""Drawing a plan: the picture and the exact truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .backgrounds import background
from .plan import Box, Plan
from .sprites import sprite
from .styles import apply_style

__all__ = ["Rendered", "Scene", "mask_box", "render"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture shows: rendered truth, or what the judge sees.

    nouns:      one a thing.
    colours:    the tint of each, None = the glyph's own colours.
    boxes:      left, top, right, bottom of each mask as fractions of the picture.
    masks:      bool `[n, H, W]`, the visible pixels of each thing.
    background: the place; style: None when there is none.
    """

    nouns: tuple[str, ...]
    colours: tuple[str | None, ...]
    boxes: tuple[Box, ...]
    masks: NDArray[np.bool_]
    background: str
    style: str | None


@dataclass(frozen=True, eq=False)
class Rendered:
    """A picture `[H, W, 3]` uint8 and its truth."""

    image: NDArray[np.uint8]
    scene: Scene


def render(plan: Plan, size: int = 128) -> Rendered:
    """Draw a plan as a square picture of `size` pixels; later things cover earlier ones.

    The same plan and size give the same bytes.
    """
    if size < 32:
        raise ValueError(f"size: got {size}, expected at least 32 pixels")
    rng = np.random.default_rng(plan.texture)
    canvas = background(plan.background, size, rng)
    masks = np.zeros((len(plan.things), size, size), bool)
    for i, thing in enumerate(plan.things):
        left, top, right, _ = (round(edge * size) for edge in thing.box)
        picture = sprite(thing.noun, thing.colour, max(right - left, 1))
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(right, size), min(top + picture.shape[0], size)
        part = picture[y0 - top : y1 - top, x0 - left : x1 - left]
        region = canvas[y0:y1, x0:x1]
        region *= 1 - part[..., 3:]
        region += part[..., :3]
        covered = np.zeros((size, size), bool)
        covered[y0:y1, x0:x1] = part[..., 3] > 0.5
        masks[:i] &= ~covered
        masks[i] = covered
    if plan.style is not None:
        canvas = apply_style(canvas, plan.style, rng)
    image = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    scene = Scene(
        nouns=tuple(thing.noun for thing in plan.things),
        colours=tuple(thing.colour for thing in plan.things),
        boxes=tuple(mask_box(mask) for mask in masks),
        masks=masks,
        background=plan.background,
        style=plan.style,
    )
    return Rendered(image, scene)


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """The box around the true pixels of `[H, W]`, as fractions; zeros for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return (0.0, 0.0, 0.0, 0.0)
    h, w = mask.shape
    return (
        float(columns[0] / w),
        float(rows[0] / h),
        float((columns[-1] + 1) / w),
        float((rows[-1] + 1) / h),
    )
