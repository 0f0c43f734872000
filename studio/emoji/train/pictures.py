"""Endless training pictures from a seed, and the conversion of bytes to model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..plan import Plan, caption
from ..render import Rendered, render
from ..sample import sample_plan
from ..words import NOUNS
from .placed import placed

__all__ = [
    "ORDINARY",
    "TURNS",
    "Captioned",
    "Phase",
    "as_input",
    "captioned",
    "check_nouns",
    "close_ups",
    "levels_of",
    "scenes",
    "to_model",
]

Seed = int | tuple[int, ...]
Captioned = tuple[str, NDArray[np.uint8]]
"""A caption and its picture `[H, W, 3]`."""


class Phase(StrEnum):
    """What an image model learns from, the easier first.

    ours: a quarter-size picture of one thing costs a quarter and teaches the same nouns, a picture
    of two on three quarters of the side costs a little over half; both alternate with whole ones.
    """

    close_ups = "close-ups"
    mixed = "mixed"
    pairs = "pairs"
    paired = "paired"
    whole_pairs = "whole-pairs"
    mostly_pairs = "mostly-pairs"
    simple = "simple"
    everything = "everything"
    placed = "placed"


TURNS: dict[Phase, dict[Phase, int]] = {
    Phase.mixed: {Phase.close_ups: 2, Phase.simple: 1},
    Phase.paired: {Phase.pairs: 2, Phase.simple: 1},
    Phase.mostly_pairs: {Phase.whole_pairs: 1, Phase.simple: 1},
}
"""Steps in turn of the phases that are made of others."""

ORDINARY = (-2.0, 2.0)
"""Mean and deviation of the logarithm of signal over noise that most phases learn at."""
_PLACED = (-3.5, 2.5)  # places are decided where little but noise is there


def levels_of(phase: Phase) -> tuple[float, float]:
    """Mean and deviation of the logarithm of signal over noise that a phase is learned at."""
    return _PLACED if phase is Phase.placed else ORDINARY


def check_nouns(nouns: Sequence[str]) -> None:
    """ValueError for some that no training may see."""
    unknown = sorted(set(nouns) - set(NOUNS))
    if unknown:
        raise ValueError(f"nouns: got {', '.join(unknown)}, expected nouns of the trained world")


def captioned(phase: Phase, seed: Seed, nouns: Sequence[str], size: int) -> Iterator[Captioned]:
    """Captions and pictures of a phase, for ever."""
    if phase is Phase.close_ups:
        yield from close_ups(seed, nouns, size)
    if phase is Phase.placed:
        yield from placed(seed, nouns, size)
    if phase in (Phase.pairs, Phase.whole_pairs):
        side = 3 * size // 4 if phase is Phase.pairs else size
        for plan, drawn in scenes(seed, nouns, side, count=2, style=None):
            yield plan.caption, drawn.image
    for plan, drawn in scenes(seed, nouns, size):
        if phase is Phase.everything or (len(plan.things) < 3 and plan.style is None):
            yield plan.caption, drawn.image


def scenes(
    seed: Seed,
    nouns: Sequence[str],
    size: int,
    *,
    count: int | None = None,
    style: str | bool | None = True,
) -> Iterator[tuple[Plan, Rendered]]:
    """Scenes that training may see, for ever; `count` and `style` as in `sample_plan`."""
    rng = np.random.default_rng(seed)
    while True:
        plan = sample_plan(rng, nouns=nouns, count=count, style=style)
        yield plan, render(plan, size)


def close_ups(seed: Seed, nouns: Sequence[str], size: int) -> Iterator[Captioned]:
    """Windows of half a scene's side around its one thing, as large as in scenes of two."""
    rng = np.random.default_rng(seed)
    while True:
        plan = sample_plan(rng, nouns=nouns, count=1, style=None)
        width = rng.uniform(0.30, 0.49)
        corner = rng.integers(0, size // 2, size=2)
        left, top = corner / size + rng.uniform(0.005, 0.495 - width, 2)
        thing = replace(plan.things[0], size=None, box=(left, top, left + width, top + width))
        image = render(replace(plan, things=(thing,)), size).image
        x, y = corner
        text = caption((thing,), None, plan.background, None)
        yield text, image[y : y + size // 2, x : x + size // 2]


def to_model(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """`[H, W, 3]` uint8 pictures to one `[B, 3, H, W]` float tensor in [-1, 1]."""
    return as_input(torch.from_numpy(np.stack(images)))


def as_input(images: Tensor) -> Tensor:
    """`[B, H, W, 3]` uint8 to `[B, 3, H, W]` float in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
