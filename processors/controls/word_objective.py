"""What objectives on word maps share: which words, how their maps are read, how far to move.

ours: a move of 5 % of the latents' length, whatever the slope (`relative`), since no paper of these
gives an α that fits every model: how steep a loss is depends on model and size. 20 moves those of
emoji-sd by 1 %. Absolute, step_size is Attend-and-Excite's (Chefer et al. 2023, arXiv:2301.13826,
the authors' code), N steps:

    α_i = step_size · sqrt(1 − i / (2 (N − 1)))          20 falling to 14.1
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from ..call import Batch, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns
from .concepts import Concepts, Reading, Reduce, Renorm, Spatial

__all__ = ["WordObjective"]


@dataclass(frozen=True, eq=False, kw_only=True)
class WordObjective(Control):
    """Moves the latents of the conditional rows; what it minimises its subclass says.

    during:    the part of the denoising in which it holds.
    step_size: the length of a move as a part of the latents', at most 1; absolute, α before the
               first step; 0 leaves all alone.
    relative:  whether step_size is that part, else absolute.
    weight:    factor of step_size.
    renorm, smooth, spatial, reduce: how maps are read, see `concepts`.
    rows:      Rows.COND_EDIT leaves the source of an edit alone.
    found, columns: made by bind.
    """

    during: Interval = Interval()
    step_size: float = 0.05
    relative: bool = True
    weight: float = 1.0
    renorm: Renorm = "linear"
    smooth: bool = True
    spatial: Spatial = "sum"
    reduce: Reduce = "mean"
    rows: Rows = Rows.COND
    found: Concepts | None = None
    columns: Columns = Columns(())

    def acts(self, site: Site, step: Step) -> bool:
        return site.maps

    def phase(self, step: Step) -> Hashable:
        return None

    def record(self, site: Site, step: Step) -> Columns:
        return self.columns

    def rate(self, step: Step) -> float:
        if not self.during.active(step):
            return 0.0
        size = self.weight * self.step_size
        if self.relative or step.count == 1:
            return size
        return size * sqrt(1 - step.index / (2 * (step.count - 1)))

    def moved(self, batch: Batch) -> Sequence[int]:
        return batch.select(self.rows)

    @property
    def reading(self) -> Reading:
        """How its maps are read."""
        return Reading(self.renorm, self.smooth, self.spatial, self.reduce)

    def first(self, prompts: Prompts, control: str) -> int:
        """The first prompt that it is for; ValueError for numbers or rows that make no sense."""
        for name in ("step_size", "weight"):
            came = getattr(self, name)
            if not (isfinite(came) and came >= 0):
                raise ValueError(f"{name}: came {came}; expected a number that is not negative")
        if self.relative and self.step_size > 1:
            raise ValueError(
                f"step_size: came {self.step_size}; expected a part of the latents' length, at "
                "most 1 (relative=False takes it as Attend-and-Excite's alpha)"
            )
        if self.rows is Rows.ALL:
            raise ValueError(
                f"rows: came Rows.ALL; {control} is for Rows.COND or Rows.COND_EDIT, since nothing "
                "is asked of unconditional rows"
            )
        if self.rows is Rows.COND:
            return 0
        prompts.require_edits(f"{control} with rows=Rows.COND_EDIT")
        return 1
