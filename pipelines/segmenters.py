"""Who says where things are in a picture, and the check of what he says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["Segmenter", "checked"]

Segmenter: TypeAlias = Callable[[Image.Image, Sequence[str]], Sequence[Tensor | None]]
"""From a picture and words to a mask [H, W] of each; None or zeros = it is not there."""


def checked(
    words: Sequence[str], masks: Sequence[Tensor | None], image: Image.Image
) -> dict[str, Tensor]:
    """A mask for each word, zeros for None; ValueError for what a segmenter must not answer."""
    if len(masks) != len(words):
        raise ValueError(f"segmenter: gave {len(masks)} masks for {len(words)} words")
    nothing = torch.zeros(image.height, image.width, dtype=torch.bool)
    found = {}
    for word, mask in zip(words, masks, strict=True):
        mask = nothing if mask is None else torch.as_tensor(np.asarray(mask))
        if mask.ndim != 2:
            raise ValueError(
                f"segmenter: gave a mask of shape {list(mask.shape)} for {word!r}; expected [H, W]"
            )
        found[word] = mask.bool()
    return found
