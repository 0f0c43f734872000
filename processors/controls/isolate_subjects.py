"""Isolation: in a picture of several subjects none looks at another one.

IR-Diffusion, He et al. 2024 (arXiv:2411.19261), isolation attention, as its code has it. With l the
label map of the scene, 0 where nobody is, for image queries q and image keys k of the scene:

    q sees k unless  l(q) > 0  and  l(k) > 0  and  l(q) ≠ l(k)

in every self-attention, for conditional and unconditional rows. What is nobody's sees all and is
seen by all, so subjects still meet there, layer by layer. Text keys are not concerned.

ours: `soft` puts −soft on those scores instead of hiding them, and `during` may end early, so that
shadows and held hands can form; exclusive labels (subjects.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns, Maps
from ..sight import Sight, Sights
from .blocks import within
from .places import Kept, Places
from .subjects import Overlap, Subject, check_subjects, scenes

__all__ = ["IsolateSubjects"]


@dataclass(frozen=True, eq=False)
class IsolateSubjects(Control):
    """With one subject there is nothing to do.

    subjects: who is where in the scene.
    soft:     nats taken from scores between subjects; None = they are hidden.
    during:   the part of the denoising in which it holds.
    blocks:   in a transformer, the part of its blocks.
    overlap:  whose a token of several subjects is.
    prompts:  numbers of the scenes; None = every prompt that is no subject's portrait.
    looks:    the part of the denoising after which words have a place; before, nothing is isolated.
    places, kept: made by bind.
    """

    subjects: tuple[Subject, ...] = ()
    soft: float | None = None
    during: Interval = Interval()
    blocks: Interval = Interval()
    overlap: Overlap = "small-front"
    prompts: tuple[int, ...] | None = None
    looks: float = 0.2
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    places: Places | None = None
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> IsolateSubjects | None:
        name = "isolate_subjects"
        check_subjects(self.subjects, prompts, name, self.overlap, portraits=False)
        if self.soft is not None and not self.soft >= 0:
            raise ValueError(f"soft: came {self.soft}; expected 0 nats or more, or None")
        if len(self.subjects) < 2 or self.soft == 0:
            return None
        chosen = scenes(self.subjects, prompts, self.prompts)
        places = Places(self.subjects, self.overlap, self.looks, chosen, prompts, name)
        return replace(self, places=places, kept=Kept())

    def acts(self, site: Site, step: Step) -> bool:
        assert self.places is not None
        if not self.places.settled and site.maps:
            return True
        holds = site.kind is not Kind.CROSS and within(site, self.blocks)
        return self.places.settled and holds and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        assert self.places is not None
        return self.places.settled

    def record(self, site: Site, step: Step) -> Columns | None:
        assert self.places is not None
        return self.places.columns(site)

    def observe(self, maps: Maps, step: Step) -> None:
        """Words get their places."""
        assert self.places is not None
        self.places.observe(maps, step)

    def sees(self, call: Call) -> Sights | None:
        assert self.places is not None and self.kept is not None
        if call.site.kind is Kind.CROSS or not self.places.settled:
            return None
        grid, batch = call.queries.grid, call.batch
        known = self.kept.known(grid, batch, None)
        if known is not None:
            return known
        assert grid is not None
        rows = {}
        for i in batch.select(self.rows):
            row = batch.rows[i]
            if row.prompt in self.places.scenes:
                labels = self.places.labels(row.prompt, row.image, grid)
                assert labels is not None
                if len(labels[labels > 0].unique()) > 1:
                    rows[i] = Sight(labels, self._between(labels))
        return self.kept.keep(grid, batch, None, Sights(rows))

    def notes(self) -> tuple[str, ...]:
        """For the receipt: whom it kept apart, and whom it could not."""
        assert self.places is not None
        return self.places.notes("isolate_subjects kept apart")

    def _between(self, labels: Tensor) -> Tensor:
        """[S + 1, N], nats."""
        of = torch.arange(len(self.subjects) + 1)[:, None]
        apart = (of > 0) & (labels > 0) & (of != labels)
        less = torch.inf if self.soft is None else self.soft
        return torch.zeros(apart.shape).masked_fill(apart, -less)
