"""Pictures in which one thing is broken, so that the judge learns to call it absent.

ours: a thing counts as broken when it is strongly blurred, half erased, see-through, mixed with or
cut together from another noun, scrambled, strongly warped, replaced by a shapeless blob, or noisy
in the autoencoder's latents (that last kind is made where the autoencoder is at hand).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ..objects import CLASSES, REJECT, TINTS
from ..plan import Plan
from ..render import Rendered, render
from ..words import HELD_OUT_NOUNS, NOUNS

__all__ = ["BREAKS", "IGNORE", "Labelled", "break_thing", "dilate", "label"]

IGNORE = 255
_ALL_NOUNS = (*NOUNS, *HELD_OUT_NOUNS)
_HARD = ("half", "mixed", "chimera", "warped")  # drawn twice as often: they are learned last


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture `[H, W, 3]` uint8 with classes and tints per pixel `[H, W]` uint8.

    IGNORE marks pixels that are not learned from.
    broken: the pixels of the broken thing, None when all is well.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    tints: NDArray[np.uint8]
    broken: NDArray[np.bool_] | None = None


def label(rendered: Rendered) -> Labelled:
    """The truth of a scene as maps; colours of pencil sketches, which are grey, are not learned."""
    scene = rendered.scene
    classes = np.zeros(rendered.image.shape[:2], np.uint8)
    tints = np.full_like(classes, IGNORE)
    for noun, colour, mask in zip(scene.nouns, scene.colours, scene.masks, strict=True):
        classes[mask] = CLASSES.index(noun)
        if scene.style != "pencil sketch":
            tints[mask] = TINTS.index(colour)
    return Labelled(rendered.image, classes, tints)


def break_thing(
    plan: Plan, rendered: Rendered, rng: np.random.Generator, kind: str | None = None
) -> Labelled:
    """The picture with one of its things broken in the way `kind`, drawn at random when None."""
    if kind is None:
        kind = str(rng.choice([*BREAKS, *_HARD]))
    if kind not in BREAKS:
        raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(BREAKS)}")
    if not plan.things:
        raise ValueError("plan: got no things, expected at least one to break")
    at = int(rng.integers(len(plan.things)))
    size = rendered.image.shape[0]
    others = tuple(thing for i, thing in enumerate(plan.things) if i != at)
    noun = str(rng.choice([n for n in _ALL_NOUNS if n != plan.things[at].noun]))
    swapped = list(plan.things)
    swapped[at] = replace(plan.things[at], noun=noun)
    case = _Case(
        whole=rendered.image.astype(np.float32),
        mask=rendered.scene.masks[at],
        empty=render(replace(plan, things=others), size).image.astype(np.float32),
        other=lambda: _picture_and_mask(render(replace(plan, things=tuple(swapped)), size), at),
        box=_pixels(plan.things[at].box, size),
        rng=rng,
    )
    image, broken = BREAKS[kind](case)
    truth = label(rendered)
    classes, tints = truth.classes.copy(), truth.tints.copy()
    classes[case.mask], tints[case.mask] = 0, IGNORE
    if kind == "blur":  # the halo is neither thing nor place
        classes[dilate(broken, max(case.width // 10, 1)) & (classes == 0)] = IGNORE
    classes[broken], tints[broken] = REJECT, IGNORE
    return Labelled((np.clip(image, 0, 255) + 0.5).astype(np.uint8), classes, tints, broken)


Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Case:
    """One thing to break: pictures with it, without it, with another noun in its place."""

    whole: Floats
    mask: Mask
    empty: Floats
    other: Callable[[], tuple[Floats, Mask]]
    box: tuple[int, int, int, int]
    rng: np.random.Generator

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    def half_plane(self, mask: Mask, low: float, high: float) -> Mask:
        """A side of a random line that holds a fraction in [low, high] of the mask."""
        angle = self.rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]]
        along = np.cos(angle) * x + np.sin(angle) * y
        inside = along[mask] if mask.any() else along
        return along <= np.quantile(inside, self.rng.uniform(low, high))


def _picture_and_mask(rendered: Rendered, at: int) -> tuple[Floats, Mask]:
    return rendered.image.astype(np.float32), rendered.scene.masks[at]


def _pixels(box: tuple[float, float, float, float], size: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = (min(max(round(edge * size), 0), size) for edge in box)
    return left, top, max(right, left + 2), max(bottom, top + 2)


def _blurred(picture: Floats, radius: float) -> Floats:
    image = Image.fromarray(picture.astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32)


def dilate(mask: Mask, pixels: int) -> Mask:
    """The mask `[H, W]`, wider by so many pixels on each side."""
    grown = Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))
    return np.asarray(grown) > 0


def _blur(case: _Case) -> tuple[Floats, Mask]:
    """Blurred by 9 to 20 % of the thing's width."""
    radius = case.width * case.rng.uniform(0.09, 0.2)
    reach = dilate(case.mask, min(round(1.5 * radius), 15))[..., None].astype(np.float32)
    hard = case.rng.random() < 0.3
    if not hard:
        reach = _blurred(np.repeat(reach * 255, 3, -1), radius) / np.float32(255)
    weight: Floats = reach
    return case.whole * (1 - weight) + _blurred(case.whole, radius) * weight, case.mask


def _half(case: _Case) -> tuple[Floats, Mask]:
    """Erased but for 30 to 55 %."""
    kept = case.half_plane(case.mask, 0.3, 0.55)
    return np.where(kept[..., None], case.whole, case.empty), case.mask & kept


def _ghost(case: _Case) -> tuple[Floats, Mask]:
    """See-through: 15 to 35 % of the thing over the empty place."""
    part = case.rng.uniform(0.15, 0.35)
    return part * case.whole + (1 - part) * case.empty, case.mask


def _mixed(case: _Case) -> tuple[Floats, Mask]:
    """Half this noun and half another one, everywhere."""
    other, mask = case.other()
    part = case.rng.uniform(0.42, 0.58)
    return part * case.whole + (1 - part) * other, case.mask | mask


def _chimera(case: _Case) -> tuple[Floats, Mask]:
    """One side this noun, the other side another one."""
    other, mask = case.other()
    side = case.half_plane(case.mask, 0.42, 0.58)
    return np.where(side[..., None], case.whole, other), np.where(side, case.mask, mask)


def _scrambled(case: _Case) -> tuple[Floats, Mask]:
    """Cut into 2 x 2 or 3 x 3 pieces that change places."""
    left, top, right, bottom = case.box
    parts = int(case.rng.integers(2, 4))
    h, w = (bottom - top) // parts, (right - left) // parts
    order = np.arange(parts * parts)
    while (order == np.arange(parts * parts)).sum() > parts * parts // 5:
        order = case.rng.permutation(parts * parts)
    image, broken = case.empty.copy(), np.zeros_like(case.mask)
    for to, source in enumerate(order):
        y, x = top + to // parts * h, left + to % parts * w
        v, u = top + source // parts * h, left + source % parts * w
        piece = case.mask[v : v + h, u : u + w]
        image[y : y + h, x : x + w][piece] = case.whole[v : v + h, u : u + w][piece]
        broken[y : y + h, x : x + w] = piece
    return image, broken


def _warped(case: _Case) -> tuple[Floats, Mask]:
    """Bent by a smooth random field of 12 to 20 % of the width."""
    side = max(case.width, 8)
    knots = case.rng.normal(0, case.rng.uniform(0.12, 0.2) * side, (2, 5, 5)).astype(np.float32)
    size = case.mask.shape[0]
    span = round(1.3 * side)
    dy, dx = (
        np.asarray(Image.fromarray(k).resize((span, span), Image.Resampling.BICUBIC)) for k in knots
    )
    left, top, right, bottom = case.box
    y0, x0 = (top + bottom - span) // 2, (left + right - span) // 2
    y, x = np.mgrid[y0 : y0 + span, x0 : x0 + span]
    seen = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    v = np.clip(np.round(y + dy), 0, size - 1).astype(int)
    u = np.clip(np.round(x + dx), 0, size - 1).astype(int)
    take = seen & case.mask[v, u]
    image, broken = case.empty.copy(), np.zeros_like(case.mask)
    image[y[take], x[take]] = case.whole[v[take], u[take]]
    broken[y[take], x[take]] = True
    return image, broken


def _blob(case: _Case) -> tuple[Floats, Mask]:
    """A shape without meaning, in one to three of the thing's colours."""
    size = 2 * case.mask.shape[0]
    left, top, right, bottom = (2 * edge for edge in case.box)
    canvas = Image.new("L", (size, size))
    draw = ImageDraw.Draw(canvas)
    colours = case.whole[case.mask] if case.mask.any() else np.full((1, 3), 127, np.float32)
    pieces = int(case.rng.integers(1, 4))
    for piece in range(1, pieces + 1):
        angles = np.sort(case.rng.uniform(0, 2 * np.pi, int(case.rng.integers(5, 12))))
        radius = case.rng.uniform(0.2, 0.5, len(angles)) * (right - left)
        x = (left + right) / 2 + radius * np.cos(angles)
        y = (top + bottom) / 2 + radius * np.sin(angles)
        draw.polygon([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=piece)
    shape = np.asarray(canvas.resize(case.mask.shape[::-1], Image.Resampling.NEAREST))
    image = case.empty.copy()
    for piece in range(1, pieces + 1):
        image[shape == piece] = colours[case.rng.integers(len(colours))] + case.rng.normal(0, 12, 3)
    soft = _blurred(np.clip(image, 0, 255), float(case.rng.uniform(0.4, 1.2)))
    return np.where(dilate(shape > 0, 1)[..., None], soft, image), shape > 0


BREAKS: dict[str, Callable[[_Case], tuple[Floats, Mask]]] = {
    "blur": _blur,
    "half": _half,
    "ghost": _ghost,
    "mixed": _mixed,
    "chimera": _chimera,
    "scrambled": _scrambled,
    "warped": _warped,
    "blob": _blob,
}
