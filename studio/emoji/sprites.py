"""Sprites: the emoji pictures that ship with the package, tinted and scaled on request.

Noto Color Emoji, Copyright Google Inc., SIL Open Font License 1.1 (`sprites/OFL.txt`).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .words import COLOURS, GLYPHS

__all__ = ["sprite"]

_FOLDER = Path(__file__).parent / "sprites"
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@lru_cache(maxsize=2048)
def sprite(noun: str, colour: str | None, width: int) -> NDArray[np.float32]:
    """The picture of a noun, `[width, width, 4]`, RGB premultiplied by alpha, all in [0, 1].

    width:  in pixels; the glyph is centred in its square.
    colour: a name of `COLOURS` or None for the glyph's own colours. ours: the tint keeps the
            glyph's shading: luma 0 -> a third of the colour, 0.6 -> the colour, 1 -> half white.
    """
    if noun not in GLYPHS:
        raise ValueError(f"noun: got {noun!r}, expected one of {sorted(GLYPHS)}")
    if colour is not None and colour not in COLOURS:
        raise ValueError(f"colour: got {colour!r}, expected one of {sorted(COLOURS)} or None")
    picture = _premultiplied(noun) if colour is None else _tint(_premultiplied(noun), colour)
    scaled = [
        Image.fromarray(np.ascontiguousarray(picture[..., c])).resize(
            (width, width), Image.Resampling.BOX if width < 64 else Image.Resampling.BILINEAR
        )
        for c in range(4)
    ]
    return np.stack([np.asarray(channel, np.float32) for channel in scaled], axis=-1)


@lru_cache(maxsize=64)
def _premultiplied(noun: str) -> NDArray[np.float32]:
    with Image.open(_FOLDER / f"{noun}.png") as file:
        rgba = np.asarray(file.convert("RGBA"), np.float32) / np.float32(255)
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def _tint(picture: NDArray[np.float32], colour: str) -> NDArray[np.float32]:
    alpha = picture[..., 3]
    inside = alpha > 0.5
    luma = (picture[..., :3] @ _LUMA) / np.maximum(alpha, 1e-6)
    low, high = np.percentile(luma[inside], (2, 98))
    # Half way to full contrast: black hats and white rabbits both get mid tones to carry the tint.
    level = 0.5 * luma + 0.5 * (luma - low) / max(float(high - low), 0.05)
    level = np.clip(level, 0, 1)[..., None]
    tone = np.asarray(COLOURS[colour], np.float32) / 255
    dark, light = tone / 3, 0.5 * tone + 0.5
    rgb = np.where(
        level < 0.6,
        dark + (tone - dark) * (level / 0.6),
        tone + (light - tone) * (level - 0.6) / 0.4,
    )
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=-1).astype(np.float32)
