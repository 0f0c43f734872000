"""Heat maps over pictures, in a colour scale that colour-blind people can read.

The scale is viridis (Smith and van der Walt 2015, CC0) at nine equal steps, linear in between: it
rises evenly in lightness. The outline is the judge's mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["overlay"]

_VIRIDIS = np.array(
    [
        (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140),
        (40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37),
    ],
    np.float32,
)  # fmt: skip
_PART = 0.62  # of the colour; the rest is the picture in grey
_CELL_PX, _MOST_PX = 256, 1024


def overlay(
    picture: Image.Image, heat: NDArray[np.float32], mask: NDArray[np.bool_] | None = None
) -> Image.Image:
    """A map `[h, w]` over a picture; lowest value dark, highest bright.

    It is 256 px wide, or 1024 px high where a picture is more than four times as high as wide.

    mask: bool, of the picture's size; its rim is drawn in white.
    """
    scale = min(_CELL_PX / picture.width, _MOST_PX / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    spread = float(heat.max() - heat.min())
    level = (heat - heat.min()) / spread if spread > 0 else np.zeros_like(heat)
    smooth = Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    place = np.asarray(smooth).clip(0, 1) * (len(_VIRIDIS) - 1)
    steps = np.arange(len(_VIRIDIS))
    colour = np.stack([np.interp(place, steps, _VIRIDIS[:, c]) for c in range(3)], -1)
    grey = np.asarray(picture.convert("L").resize(size), np.float32)[..., None]
    mixed = _PART * colour + (1 - _PART) * grey
    if mask is not None:
        whole = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        mixed[_rim(whole)] = 255
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it."""
    around = np.pad(mask, 1, constant_values=False)
    inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inner
