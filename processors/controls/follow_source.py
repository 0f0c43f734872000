"""Mutual self-attention: an edit's picture is painted with what the source's picture has.

MasaCtrl, Cao et al. 2023 (arXiv:2304.08465):

    O = softmax(Q K_sourceᵀ / √d) V_source        from a step and a layer on

in the conditional and the unconditional half, each with its own source. With places of the thing,
its queries read from the thing in the source and all others from the rest of it: the paper's two
attentions, blended by a mask of zeros and ones. "union" reads from both pictures.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..sight import Reference, Sight, Sights
from .blocks import decoding
from .places import Kept
from .regions import Region
from .subjects import held

__all__ = ["FollowSource"]


@dataclass(frozen=True, eq=False)
class FollowSource(Control):
    """Prompt 0 is the source, later ones follow it, from the same noise.

    read:   "replace" = the source's keys instead of one's own; "union" = beside them.
    thing:  (its place in the source, its place in the edit); None = no difference is made.
    during: the part of the denoising in which it holds; the paper's starts at step 4 of 50.
    blocks: in a transformer, the part of its blocks; ours.
    after:  in a UNet, sites of the decoder with a smaller number are left alone. The paper's 10th
            layer of SD 1.x is number 20; its 44th, 54th or 64th of SDXL 88, 108, 128.
    """

    paired: ClassVar[bool] = True

    read: Literal["replace", "union"] = "replace"
    thing: tuple[Region, Region] | None = None
    during: Interval = Interval(0.08, 1.0)
    blocks: Interval = Interval(0.5, 1.0)
    after: int = 0
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> FollowSource:
        prompts.require_edits("follow_source")
        if self.read not in ("replace", "union"):
            raise ValueError(f"read: came {self.read!r}; expected 'replace' or 'union'")
        return replace(self, kept=Kept())

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        where = site.kind is not Kind.CROSS and decoding(site, self.blocks)
        return where and site.index >= self.after and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None

        def made() -> dict[int, Sight]:
            grid, batch = call.queries.grid, call.batch
            assert grid is not None
            idle = {0, *batch.twins}
            return {
                row: self._sight(batch.source_of(row), grid)
                for row in batch.select(self.rows)
                if batch.rows[row].prompt not in idle
            }

        return self.kept.sights(call, None, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        own = "beside" if self.read == "union" else "instead of"
        return (f"follow_source let the edits read the source's picture {own} their own",)

    def _sight(self, source: int, grid: tuple[int, int]) -> Sight:
        size = grid[0] * grid[1]
        own = None if self.read == "union" else torch.full((2, size), -torch.inf)
        if self.thing is None:
            return Sight(own=own, references=(Reference(source),))
        there, here = (held(place, grid, "thing").flatten() for place in self.thing)
        references = tuple(
            Reference(source, keys, labels=frozenset({label}))
            for label, keys in enumerate(_split(there))
        )
        return Sight(here.long(), own, references)


def _split(thing: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the rest, and of the thing."""
    return (~thing).nonzero()[:, 0], thing.nonzero()[:, 0]
