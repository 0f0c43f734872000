"""Who of the cast stands where in a rehearsal, when words alone do not say it.

The idea of "IR-Diffusion with Hungarian matching" in MultiHuman-Testbench (arXiv:2506.20879): of
all ways to give the places found to subjects, the one whose likenesses add up to most. ours: the
likeness, which needs no network, and plain enumeration, since a story has few subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..processors.controls.regions import Region, covered

__all__ = ["Likeness", "assigned", "colour_likeness"]

Likeness: TypeAlias = Callable[[Image.Image, Tensor, Image.Image, Tensor], float]
"""Of the thing under a mask [H, W] bool in one picture and that in another; more = more alike."""

_MOST = 8
_BINS = 8


def assigned(
    portraits: Mapping[str, tuple[Image.Image, Region]],
    scene: Image.Image,
    found: Mapping[str, Tensor],
    likeness: Likeness,
) -> dict[str, Tensor]:
    """The places in `found`, given to subjects anew; whoever is left gets an empty one.

    portraits: by word, the picture and where the subject is in it.
    found:     by word, masks [H, W] bool. ValueError for more than 8 subjects.
    """
    words = list(portraits)
    if len(words) > _MOST:
        raise ValueError(f"cast: came {len(words)}; expected {_MOST} or fewer for 'hungarian'")
    masks = [_at(found[word], scene) for word in words]
    there = [i for i, mask in enumerate(masks) if bool(mask.any())]
    table = [
        [likeness(image, _at(seat, image), scene, masks[i]) for i in there]
        for image, seat in portraits.values()
    ]
    best = max(
        permutations(range(len(words)), len(there)),
        key=lambda order: sum(table[word][i] for i, word in enumerate(order)),
    )
    given = {words[word]: found[words[there[i]]] for i, word in enumerate(best)}
    return {word: given.get(word, torch.zeros_like(found[word])) for word in words}


def colour_likeness(a: Image.Image, mask_a: Tensor, b: Image.Image, mask_b: Tensor) -> float:
    """The part that histograms of colours have in common, [0, 1]; 8 x 8 x 8 bins."""
    first, second = (_histogram(image, mask) for image, mask in ((a, mask_a), (b, mask_b)))
    return float(np.minimum(first, second).sum())


def _histogram(image: Image.Image, mask: Tensor) -> np.ndarray:
    pixels = np.asarray(image.convert("RGB"))[_at(mask, image).numpy()]
    bins = pixels.astype(np.int64) * _BINS // 256 @ np.array([_BINS * _BINS, _BINS, 1])
    counts = np.bincount(bins, minlength=_BINS**3)
    return counts / max(1, counts.sum())


def _at(region: Region, image: Image.Image) -> Tensor:
    """[H, W] bool on the picture's pixels."""
    size = (image.height, image.width)
    if isinstance(region, Tensor):
        if not bool(region.any()):
            return torch.zeros(size, dtype=torch.bool)
        region = region.float()
        return torch.nn.functional.interpolate(region[None, None], size, mode="nearest")[0, 0] > 0.5
    return covered(region, size, "places")
