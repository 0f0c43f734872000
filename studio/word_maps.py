"""Word maps for the eye and for programs: overlays, 16-bit pictures, what the judge knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .gallery import slug, write_png
from .result import Result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .emoji import Scene

__all__ = ["WordMap", "save_word_maps"]


@dataclass(frozen=True)
class WordMap:
    """One word in one picture.

    picture: its number.        overlay: the map over the picture, lowest dark, highest bright.
    raw:     16-bit grey PNG of the map's own grid; 65535 stands for all of the attention.
    peak:    the largest value of the map, as a part of the attention of that place.
    mass:    the part of the map that lies on the things the word names; None = no judge, or no
             such thing in the picture.
    iou:     of the map, cut at 0.4 of its range, and these things.
    """

    word: str
    picture: int
    overlay: Path
    raw: Path
    peak: float
    mass: float | None
    iou: float | None


def save_word_maps(
    result: Result, paths: tuple[Path, ...], words: tuple[str, ...]
) -> list[WordMap]:
    """Writes the recorded maps of `words` beside the pictures at `paths`."""
    from .evaluate.heat import overlay

    found = []
    for number, word in enumerate(words):
        for picture, heat in enumerate(result.maps.get(word, ())):
            if heat is None:
                continue
            mask = None
            if result.verdicts is not None:
                mask = _things(result.verdicts[picture].scene, word)
            stem = f"{paths[picture].stem}-map-{number}-{slug(word)[:20]}"
            overlay_path = paths[picture].with_name(f"{stem}.png")
            raw_path = paths[picture].with_name(f"{stem}-raw.png")
            write_png(overlay(result.images[picture], heat, mask), overlay_path)
            levels = np.rint(heat.clip(0, 1) * 65535).astype(np.uint16)
            write_png(Image.fromarray(levels), raw_path)
            mass, iou = (None, None) if mask is None else _figures(heat, mask)
            peak = float(heat.max())
            found.append(WordMap(word, picture, overlay_path, raw_path, peak, mass, iou))
    return found


def _things(scene: Scene, word: str) -> NDArray[np.bool_] | None:
    """Pixels of the things that a word names; None when there is none in the picture."""
    from .emoji import expect

    nouns = {noun for noun, _ in expect(word).things}
    chosen = [i for i, noun in enumerate(scene.nouns) if noun in nouns]
    return np.logical_or.reduce(scene.masks[chosen]) if chosen else None


def _figures(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    import torch

    from .evaluate.overlap import area_mask, cut, iou, mass

    values = torch.from_numpy(heat)
    covered = area_mask(torch.from_numpy(mask), (heat.shape[0], heat.shape[1]))
    return mass(values, covered), iou(cut(values), covered)
