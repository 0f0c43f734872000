"""The modes of the control `region_prompts` that the suite `regions` compares, as recipes.

One of them has the control `box_layout` beside it, which moves the latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..emoji.plan import Box
from ..recipe import Recipe
from .regions_prompts import Placed

__all__ = ["MOVED", "REGION_METHODS", "RegionSettings", "painted", "recipe_of"]

MOVED = "boxes + layout"
REGION_METHODS: tuple[str, ...] = ("base", "boxes", MOVED, "painted", "words")
"""base: no control. boxes + layout: each thing's noun is moved to its box too. painted: an ellipse
in each box. words: the place of each thing's own word."""

_SIDE = 64  # cells of a painted mask along the picture's longer side


@dataclass(frozen=True)
class RegionSettings:
    """Of the control; see `processors.RegionPrompts`.

    base:   weight of the picture's prompt within regions.
    during: the part of the denoising in which regions hold.
    looks:  the part of it after which words have a place.
    """

    base: float = 0.2
    during: tuple[float, float] = (0.0, 1.0)
    looks: float = 0.2


def recipe_of(
    method: str,
    asked: Placed,
    settings: RegionSettings,
    *,
    size: tuple[int, int],
    steps: int,
    guidance: float,
) -> Recipe:
    """What is run for a method; words are recorded while the control looks for them.

    size: (height, width) in pixels.
    """
    where: Sequence[object] = {
        "boxes": asked.boxes,
        MOVED: asked.boxes,
        "painted": [{"rows": painted(box, size)} for box in asked.boxes],
        "words": asked.nouns,
    }.get(method, ())
    regions = [{"where": w, "prompt": text} for w, text in zip(where, asked.texts, strict=False)]
    held = {"base": settings.base, "during": settings.during, "looks": settings.looks}
    controls: list[dict[str, Any]] = []
    if regions:
        controls.append({"control": "region_prompts", "regions": regions, **held})
    if method == MOVED:
        boxes = dict(zip(asked.nouns, asked.boxes, strict=True))
        controls.append({"control": "box_layout", "boxes": boxes})
    if method == "words":
        looked = {"words": asked.nouns, "during": (0.0, settings.looks)}
        controls.append({"control": "record_maps", **looked})
    return Recipe.model_validate(
        {
            "prompts": (asked.prompt,),
            "seed": asked.latent_seed,
            "controls": controls,
            "size": size,
            "steps": steps,
            "guidance": guidance,
        }
    )


def painted(box: Box, size: tuple[int, int]) -> tuple[str, ...]:
    """The ellipse that fills a box, as rows of 0 and 1 from top to bottom."""
    height, width = (max(1, round(side * _SIDE / max(size))) for side in size)
    left, top, right, bottom = box
    y = (np.arange(height)[:, None] + 0.5) / height - (top + bottom) / 2
    x = (np.arange(width) + 0.5) / width - (left + right) / 2
    inside: NDArray[np.bool_] = (2 * x / (right - left)) ** 2 + (2 * y / (bottom - top)) ** 2 <= 1
    return tuple("".join("01"[int(cell)] for cell in row) for row in inside)
