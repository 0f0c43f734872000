"""How a recipe writes down that its pictures are enlarged and drawn over: one entry a step up."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Annotated

from pydantic import Field, model_validator

from .spec import Spec

__all__ = ["FinerSpec", "finer_sizes", "finer_steps"]

_LARGEST = 16_384  # pixels a side


class FinerSpec(Spec):
    """See `pipelines.Finer`; the recipe's controls steer the first picture only.

    factor:   of both sides; the result is rounded to whole tokens.
    strength: part of the denoising that is done again.
    radius:   of local windows with a proportional scale, in tokens; None = full attention.
    ntk:      factor of FLUX's rotary base; only with windows.
    tiled:    whether the autoencoder works tile by tile.
    """

    factor: Annotated[float, Field(gt=1, le=4)] = 2.0
    strength: Annotated[float, Field(gt=0, le=1)] = 0.7
    radius: Annotated[float, Field(gt=0, le=4096)] | None = None
    ntk: Annotated[float, Field(gt=0, le=1000)] = 1.0
    tiled: bool = False

    @model_validator(mode="after")
    def _whole(self) -> FinerSpec:
        if self.ntk != 1 and self.radius is None:
            raise ValueError(f"ntk: came {self.ntk:g} without windows; expected a radius too")
        return self


def finer_sizes(
    size: tuple[int, int], finer: Sequence[FinerSpec], unit: int = 1
) -> list[tuple[int, int]]:
    """(height, width) in pixels after each step, in multiples of `unit`.

    ValueError for more pixels a side than 16,384.
    """
    found, (height, width) = [], (float(size[0]), float(size[1]))
    for step in finer:
        height, width = height * step.factor, width * step.factor
        found.append((max(1, round(height / unit)) * unit, max(1, round(width / unit)) * unit))
    largest = max(map(max, found), default=0)
    if largest > _LARGEST:
        raise ValueError(f"finer: ends at {largest} pixels; expected {_LARGEST} at most")
    return found


def finer_steps(steps: int, finer: Sequence[FinerSpec]) -> int:
    """Denoising steps of all steps up of one picture; some pipelines round one of each down."""
    return sum(min(steps, ceil(steps * step.strength)) for step in finer)
