"""How a recipe writes down that its pictures are enlarged and drawn over: one entry a step up."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Annotated

from pydantic import Field

from .spec import Spec

__all__ = ["FinerSpec", "finer_sizes", "finer_steps"]


class FinerSpec(Spec):
    """See `pipelines.Finer`; the recipe's controls steer the first picture only.

    factor:   of both sides; the result is rounded to whole tokens.
    strength: part of the denoising that is done again.
    radius:   of local windows with a proportional scale, in tokens; None = full attention.
    ntk:      factor of FLUX's rotary base under these windows.
    tiled:    whether the autoencoder works tile by tile.
    """

    factor: Annotated[float, Field(gt=1, le=4)] = 2.0
    strength: Annotated[float, Field(gt=0, le=1)] = 0.7
    radius: Annotated[float, Field(gt=0, le=4096)] | None = None
    ntk: Annotated[float, Field(gt=0, le=1000)] = 1.0
    tiled: bool = False


def finer_sizes(
    size: tuple[int, int], finer: Sequence[FinerSpec], unit: int = 1
) -> list[tuple[int, int]]:
    """(height, width) in pixels after each step, in multiples of `unit`."""
    found, (height, width) = [], (float(size[0]), float(size[1]))
    for step in finer:
        height, width = height * step.factor, width * step.factor
        found.append((max(1, round(height / unit)) * unit, max(1, round(width / unit)) * unit))
    return found


def finer_steps(steps: int, finer: Sequence[FinerSpec]) -> int:
    """Denoising steps of all steps up of one picture."""
    return sum(min(steps, ceil(steps * step.strength)) for step in finer)
