"""Pictures as a browser gets them: small ones enlarged, large ones reduced, maps in colour."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import picture_file

__all__ = ["data_url", "heat", "open_picture", "read_maps", "shown"]

_LEAST_PX, _MOST_PX = 384, 1024  # the longer side

# Cividis, which people with any colour vision read alike (Nunez et al. 2018), at nine points.
_CIVIDIS = (
    (0, 32, 76), (0, 48, 111), (57, 72, 107), (87, 92, 109), (112, 113, 115),
    (138, 134, 120), (168, 156, 112), (203, 186, 105), (255, 234, 70),
)  # fmt: skip


def open_picture(path: Path) -> Image.Image:
    """A picture of the gallery; ValueError for what somebody has put in its place."""
    return picture_file.open_picture(path).image()


def shown(image: Image.Image, least_px: int = _LEAST_PX, most_px: int = _MOST_PX) -> bytes:
    """A PNG or, of a large one, a JPEG. Small ones grow by whole factors, so pixels stay square."""
    image, side = image.convert("RGB"), max(image.size)
    if side < least_px:
        factor = -(-least_px // side)
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    elif side > most_px:
        image.thumbnail((most_px, most_px))
    kind: dict[str, Any] = {"format": "PNG"} if side <= 512 else {"format": "JPEG", "quality": 90}
    buffer = io.BytesIO()
    image.save(buffer, **kind)
    return buffer.getvalue()


def data_url(picture: bytes) -> str:
    """For a component's `data`."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def heat(values: NDArray[np.floating[Any]], size: tuple[int, int]) -> Image.Image:
    """A map [h, w] in colours, its own maximum the brightest, at `size` (width, height)."""
    peak = float(values.max(initial=0.0))
    level = values.astype(np.float64) / peak if peak > 0 else np.zeros(values.shape)
    smooth = Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    at = np.clip(np.asarray(smooth), 0, 1) * (len(_CIVIDIS) - 1)
    table = np.asarray(_CIVIDIS, dtype=np.float64)
    points = np.arange(len(_CIVIDIS))
    bands = [np.interp(at, points, table[:, band]) for band in range(3)]
    return Image.fromarray(np.stack(bands, -1).round().astype(np.uint8))


def read_maps(path: Path) -> Mapping[str, NDArray[np.floating[Any]]]:
    """Arrays by "<word number>-<picture number>", as the runner saved them."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
