"""Whole-picture styles: pixel art, pencil sketch, watercolour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["apply_style"]

Picture = NDArray[np.float32]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def apply_style(picture: Picture, style: str, rng: np.random.Generator) -> Picture:
    """Redraw `[S, S, 3]` in [0, 1] in a style of `words.STYLES`; sizes scale with S."""
    try:
        draw = {"pixel art": _pixel_art, "pencil sketch": _pencil, "watercolour": _watercolour}[
            style
        ]
    except KeyError:
        raise ValueError(
            f"style: got {style!r}, expected pixel art, pencil sketch or watercolour"
        ) from None
    return np.clip(draw(picture, rng), 0, 1).astype(np.float32)


def _blur(picture: Picture, radius: float) -> Picture:
    channels = [
        np.asarray(
            Image.fromarray((np.clip(picture[..., c], 0, 1) * 255).astype(np.uint8)).filter(
                ImageFilter.GaussianBlur(radius)
            ),
            np.float32,
        )
        / 255
        for c in range(picture.shape[-1])
    ]
    return np.stack(channels, -1)


def _pixel_art(picture: Picture, rng: np.random.Generator) -> Picture:
    """32 x 32 blocks, eight levels a channel."""
    size = picture.shape[0]
    image = Image.fromarray((picture * 255).astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    levels = np.round(np.asarray(image, np.float32) / 255 * 7) / 7
    blocks = Image.fromarray((levels * 255).astype(np.uint8))
    large = blocks.resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(large, np.float32) / np.float32(255)


def _pencil(picture: Picture, rng: np.random.Generator) -> Picture:
    """Dark lines where luma changes, light grey shading on warm paper."""
    grey = _blur((picture @ _LUMA)[..., None], picture.shape[0] / 200)
    around = _blur(grey, picture.shape[0] / 64)
    line = np.clip(1 - 3.2 * np.abs(grey - around), 0, 1)
    shade = 0.62 + 0.38 * grey
    grain = rng.normal(0, 0.015, grey.shape).astype(np.float32)
    return line * shade * np.array((0.98, 0.97, 0.93), np.float32) + grain


def _watercolour(picture: Picture, rng: np.random.Generator) -> Picture:
    """Washed-out colours with soft flats, dark rims and paper grain."""
    size = picture.shape[0]
    flat = _blur(picture, size / 150)
    rim = np.abs(flat - _blur(flat, size / 50)).max(-1, keepdims=True)
    coarse = rng.normal(0, 0.05, (16, 16)).astype(np.float32) + 0.5
    grain = np.asarray(
        Image.fromarray((coarse * 255).clip(0, 255).astype(np.uint8)).resize(
            (size, size), Image.Resampling.BICUBIC
        ),
        np.float32,
    )[..., None]
    washed = 0.26 + 0.72 * flat - 1.2 * rim
    return washed + (grain / 255 - 0.5) * 0.9
