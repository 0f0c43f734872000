"""Whether a colour's weight sets how strongly a thing wears it.

For each prompt its colour is weighed by c in WEIGHTS, everything else the same, and rho is
Spearman's correlation between c and the judged strength: the mean probability that the judge gives
the colour over the thing's pixels, which are those of the thing in the picture with weight 1. The
figure is the mean of rho over prompts; ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from ..drawing import Watch, draw
from ..edit_recipe import edit_recipe
from ..emoji.judge import tint_strengths
from .edits import Weighed
from .judging import Judge
from .ratios import spearman

__all__ = ["WEIGHTS", "Strengths", "Weighing", "pictures_each", "weigh"]

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)

Strengths = Callable[[Sequence[Image], NDArray[np.bool_], str], Sequence[float]]
"""Of a colour, over a mask `[H, W]`, in pictures of that size."""


@dataclass(frozen=True)
class Weighing:
    """One prompt: a strength for each weight, and rho.

    strengths: None when the judge does not find the thing in the picture with weight 1.
    rho:       also None when all strengths are the same.
    """

    asked: Weighed
    strengths: tuple[float, ...] | None
    rho: float | None


def pictures_each() -> int:
    """Calls of the pipeline for a prompt; the source of any of them is the one of weight 1."""
    return len(WEIGHTS) - 1


def weigh(
    pipe: Any,
    asked: Weighed,
    watch: Watch,
    look: Judge,
    *,
    steps: int,
    guidance: float,
    size: tuple[int, int],
    strengths: Strengths = tint_strengths,
) -> tuple[Weighing, tuple[Image, ...]]:
    """The verdict and the pictures in the order of WEIGHTS."""
    pictures: dict[float, Image] = {}
    for weight in WEIGHTS:
        if weight == 1.0:
            continue
        recipe = edit_recipe(
            asked.prompt,
            weights={asked.colour: weight},
            seed=asked.latent_seed,
            steps=steps,
            guidance=guidance,
            size=size,
        )
        pictures[1.0], pictures[weight] = draw(pipe, recipe, watch).images
    images = tuple(pictures[weight] for weight in WEIGHTS)
    (scene,) = look([pictures[1.0]])
    if asked.noun not in scene.nouns:
        return Weighing(asked, None, None), images
    mask = scene.masks[scene.nouns.index(asked.noun)]
    found = tuple(strengths(images, mask, asked.colour))
    return Weighing(asked, found, spearman(WEIGHTS, found)), images
