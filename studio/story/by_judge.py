"""The judge of emoji world as a story's segmenter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from ..emoji.render import Scene
from ..pipelines.segmenters import Segmenter

__all__ = ["by_judge"]


def by_judge(look: Callable[[Sequence[Image]], Sequence[Scene]]) -> Segmenter:
    """Of each word the largest thing that the judge, `look`, sees; None where it sees none."""

    def masks(image: Image, words: Sequence[str]) -> list[Tensor | None]:
        (scene,) = look([image])
        return [
            torch.from_numpy(scene.masks[scene.nouns.index(word)]) if word in scene.nouns else None
            for word in words
        ]

    return masks
