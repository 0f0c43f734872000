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

from ..control_specs import ReweightWords
from ..edit_recipe import edit_recipe
from ..emoji.judge import tint_strengths
from ..recipe import Recipe
from .edits import Weighed
from .judging import Judge
from .ratios import spearman

__all__ = ["WEIGHTS", "Strengths", "Weighing", "in_order", "weigh", "weighing_recipe"]

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
_DURING = (0.0, 0.8)

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


def weighing_recipe(asked: Weighed, **base: Any) -> Recipe:
    """One call: the prompt as it is, then once with each weight that is not 1."""
    others = [weight for weight in WEIGHTS if weight != 1.0]
    return edit_recipe(
        asked.prompt,
        (asked.prompt,) * len(others),
        mode="refine",
        further=[
            ReweightWords(weights={asked.colour: weight}, during=_DURING, prompts=(i,))
            for i, weight in enumerate(others, 1)
        ],
        cross_replace=_DURING,
        seed=asked.latent_seed,
        **base,
    )


def in_order(drawn: Sequence[Image]) -> tuple[Image, ...]:
    """What the recipe drew, in the order of WEIGHTS."""
    stock, *others = drawn
    return tuple(stock if weight == 1.0 else others.pop(0) for weight in WEIGHTS)


def weigh(
    asked: Weighed, images: Sequence[Image], look: Judge, strengths: Strengths = tint_strengths
) -> Weighing:
    """The verdict on pictures in the order of WEIGHTS."""
    (scene,) = look([images[WEIGHTS.index(1.0)]])
    if asked.noun not in scene.nouns:
        return Weighing(asked, None, None)
    mask = scene.masks[scene.nouns.index(asked.noun)]
    found = tuple(strengths(images, mask, asked.colour))
    return Weighing(asked, found, spearman(WEIGHTS, found))
