"""The judge: what a picture of emoji world shows, by a small network trained on the truth."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .objects import PLACES, STYLE_NAMES, TINTS, Found, find_things
from .render import Scene, mask_box
from .words import COLOURS

if TYPE_CHECKING:
    from .judge_net import JudgeNet

__all__ = ["judge", "judge_many", "tint_strengths"]

Picture = Image.Image | NDArray[np.uint8]

_WEIGHTS = Path(__file__).parent / "weights" / "judge"
_SIZE_PX = 128
_CHUNK = 16


def judge(image: Picture) -> Scene:
    """What a picture shows, the largest thing first; masks have the picture's size.

    image: PIL, or uint8 `[H, W, 3]`; at least 32 pixels a side. It is looked at in 128 x 128
           pixels: a picture that is not square is stretched.

    Blurred, half or mixed-up things count as absent. The same noun may be there twice. Colours of
    pencil sketches mean nothing: they are grey.
    """
    return judge_many([image])[0]


def judge_many(images: Iterable[Picture], *, net: JudgeNet | None = None) -> list[Scene]:
    """`judge` for many pictures, in batches; `net` is another network than the packaged one."""
    pictures = [_rgb(image) for image in images]
    chosen = _packaged() if net is None else net
    scenes: list[Scene] = []
    for start in range(0, len(pictures), _CHUNK):
        scenes += _look(chosen, pictures[start : start + _CHUNK])
    return scenes


def tint_strengths(
    images: Iterable[Picture],
    mask: NDArray[np.bool_],
    colour: str,
    *,
    net: JudgeNet | None = None,
) -> list[float]:
    """The mean probability of a tint over `mask` `[H, W]`, for pictures of one size.

    The mask is scaled to what the judge looks at; ValueError when nothing is left of it.
    """
    if colour not in TINTS:
        raise ValueError(f"colour: {colour!r} came; expected one of {', '.join(COLOURS)}")
    side = (_SIZE_PX, _SIZE_PX)
    place = np.asarray(Image.fromarray(mask).resize(side, Image.Resampling.NEAREST))
    if not place.any():
        raise ValueError("mask: it is empty; expected the pixels of a thing")
    chosen = _packaged() if net is None else net
    seen = chosen.answer(np.stack([_small(_rgb(image)) for image in images]))
    return [float(tints[TINTS.index(colour)][place].mean()) for tints in seen.tints]


@functools.cache
def _packaged() -> JudgeNet:
    from .judge_net import JudgeNet  # torch comes with it, so not before it is needed

    return JudgeNet.load(_WEIGHTS)


def _rgb(image: Picture) -> Image.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"image: got an array {list(image.shape)} of {image.dtype}, "
                "expected [H, W, 3] of uint8"
            )
        image = Image.fromarray(image)
    elif not isinstance(image, Image.Image):
        raise TypeError(
            f"image: got a {type(image).__name__}, expected a PIL image or a numpy array"
        )
    if min(image.size) < 32:
        raise ValueError(f"image: got {image.width} x {image.height}, expected at least 32 x 32")
    return image.convert("RGB")


def _small(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.resize((_SIZE_PX, _SIZE_PX), Image.Resampling.BILINEAR))


def _look(net: JudgeNet, pictures: Sequence[Image.Image]) -> list[Scene]:
    seen = net.answer(np.stack([_small(picture) for picture in pictures]))
    return [
        _scene(
            find_things(seen.nouns[i], seen.tints[i]),
            PLACES[seen.places[i]],
            STYLE_NAMES[seen.styles[i]],
            picture.size,
        )
        for i, picture in enumerate(pictures)
    ]


def _scene(things: Sequence[Found], place: str, style: str | None, size: tuple[int, int]) -> Scene:
    width, height = size
    masks = np.zeros((len(things), height, width), bool)
    for i, thing in enumerate(things):
        mask = Image.fromarray(thing.mask)
        masks[i] = np.asarray(mask.resize(size, Image.Resampling.NEAREST))
    return Scene(
        nouns=tuple(thing.noun for thing in things),
        colours=tuple(thing.colour for thing in things),
        boxes=tuple(mask_box(mask) for mask in masks),
        masks=masks,
        background=place,
        style=style,
    )
