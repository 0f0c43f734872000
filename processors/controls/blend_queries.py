"""Vanilla queries: early on a picture asks as it would by itself, so that layouts stay different.

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286), section 3.2. In the first steps the denoiser is
called on the same latents without any control first; with q° its queries there, in the decoder

    q ← s q° + (1 − s) q        s falls evenly from the first of these steps to the last

which the keys that pictures share would else make alike. The released code's s is 0.9 in step 0 and
0.818 in step n/10 of n.

ours: other sharing controls can have it too; in a transformer, image queries of its later blocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Batch, Call, Kind, Row, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from .blocks import decoding
from .subjects import numbered

__all__ = ["BlendQueries"]


@dataclass(frozen=True, eq=False)
class BlendQueries(Control):
    """One more call of the denoiser in each of these steps, for the rows that it concerns.

    strength: s in the first and in the last of the steps; 0 = the picture's own queries.
    during:   the steps; the paper's are 0 to n/10, the last one included.
    blocks:   in a transformer, the part of its blocks. ours.
    prompts:  numbers of the prompts whose pictures ask so; None = all.
    asked:    made by bind.
    """

    strength: tuple[float, float] = (0.9, 0.818)
    during: Interval = Interval(0.0, 0.11)
    blocks: Interval = Interval(0.5, 1.0)
    prompts: tuple[int, ...] | None = None
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    asked: _Asked | None = None
    chosen: frozenset[int] = frozenset()

    def bind(self, prompts: Prompts) -> BlendQueries | None:
        if len(self.strength) != 2 or not all(0 <= s <= 1 for s in self.strength):
            raise ValueError(f"strength: came {self.strength}; expected two numbers of [0, 1]")
        chosen = numbered("prompts", self.prompts, prompts)
        if not chosen or not any(self.strength) or self.during.empty:
            return None
        return replace(self, asked=_Asked(self), chosen=chosen)

    def acts(self, site: Site, step: Step) -> bool:
        where = site.kind is not Kind.CROSS and decoding(site, self.blocks)
        return where and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def rehearses(self, step: Step, batch: Batch) -> tuple[int, ...]:
        """The rows of its prompts, while it holds."""
        return self._own(batch) if self.during.active(step) else ()

    @property
    def watcher(self) -> Control:
        """Who keeps the queries of the call before."""
        assert self.asked is not None
        return self.asked

    def tokens(self, call: Call) -> Call:
        assert self.asked is not None
        rows, image = self._own(call.batch), call.queries.image
        if not rows or image is None:
            return call
        q, s = call.q.clone(), self._strength(call.step)
        for i in rows:
            vanilla = self.asked.take(call.site, call.batch.rows[i])
            q[i, :, image] = torch.lerp(q[i, :, image], vanilla, s)
        return call.with_tokens(q, call.k, call.v)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        count = len(self.chosen)
        return (f"blend_queries let {count} pictures ask as by themselves in the first steps",)

    def _own(self, batch: Batch) -> tuple[int, ...]:
        return tuple(i for i in batch.select(self.rows) if batch.rows[i].prompt in self.chosen)

    def _strength(self, step: Step) -> float:
        steps = [i for i in range(step.count) if self.during.active(replace(step, index=i))]
        first, last = self.strength
        return first + (last - first) * steps.index(step.index) / max(1, len(steps) - 1)


@dataclass(frozen=True, eq=False)
class _Asked(Control):
    """Keeps the queries of a rehearsal until they are taken, site by site.

    where: whose sites it looks at.
    kept:  [H, N, D] of each site and row.
    """

    where: BlendQueries
    kept: dict[tuple[str, Row], Tensor] = field(default_factory=dict)

    def acts(self, site: Site, step: Step) -> bool:
        return self.where.acts(site, step)

    def tokens(self, call: Call) -> Call:
        for i in call.batch.every:
            self.kept[call.site.name, call.batch.rows[i]] = call.q[i, :, call.queries.image]
        return call

    def take(self, site: Site, row: Row) -> Tensor:
        return self.kept.pop((site.name, row))
