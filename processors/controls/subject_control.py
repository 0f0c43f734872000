"""What controls on subjects share: who is where, in which prompts, steps and blocks.

Until words have a place nothing is done but to look where they are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Self

from torch import Tensor

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns, Maps
from .blocks import within
from .places import Kept, Places
from .subjects import Overlap, Subject, check_subjects, scenes

__all__ = ["SubjectControl"]


@dataclass(frozen=True, eq=False)
class SubjectControl(Control):
    """For conditional and unconditional rows; what subjects do its subclass says.

    subjects: who is where in the scene.
    during:   the part of the denoising in which it holds.
    blocks:   in a transformer, the part of its blocks.
    overlap:  whose a token of several subjects is.
    prompts:  numbers of the scenes; None = every prompt that is no subject's portrait.
    looks:    the part of the denoising after which words have a place.
    places, kept: made by bind.
    """

    away: ClassVar[Kind]
    """The kind of attention that it leaves alone."""

    subjects: tuple[Subject, ...] = ()
    _: KW_ONLY
    during: Interval = Interval()
    blocks: Interval = Interval()
    overlap: Overlap = "small-front"
    prompts: tuple[int, ...] | None = None
    looks: float = 0.2
    rows: Rows = Rows.ALL
    places: Places | None = None
    kept: Kept | None = None

    def placed(self, prompts: Prompts, control: str) -> Self:
        """With places for a run; the end of a subclass's bind."""
        chosen = scenes(self.subjects, prompts, self.prompts)
        places = Places(self.subjects, self.overlap, self.looks, chosen, prompts, control)
        return replace(self, places=places, kept=Kept())

    def check(self, prompts: Prompts, control: str, *, portraits: bool) -> None:
        """ValueError for subjects that a run cannot have."""
        check_subjects(self.subjects, prompts, control, self.overlap, portraits=portraits)

    def acts(self, site: Site, step: Step) -> bool:
        if not self.settled:
            return site.maps
        return site.kind is not self.away and self.deep(site) and self.during.active(step)

    def deep(self, site: Site) -> bool:
        """Whether the site is where it acts."""
        return within(site, self.blocks)

    def phase(self, step: Step) -> Hashable:
        return self.settled

    def record(self, site: Site, step: Step) -> Columns | None:
        assert self.places is not None
        return self.places.columns(site)

    def observe(self, maps: Maps, step: Step) -> None:
        """Words get their places."""
        assert self.places is not None
        self.places.observe(maps, step)

    @property
    def settled(self) -> bool:
        """Whether every subject has its place."""
        assert self.places is not None
        return self.places.settled

    def labelled(self, call: Call) -> Iterator[tuple[int, Tensor]]:
        """Each row of a scene with the labels [N] of its image tokens, once they are settled."""
        assert self.places is not None and call.queries.grid is not None
        for i in call.batch.select(self.rows):
            row = call.batch.rows[i]
            if row.prompt in self.places.scenes:
                labels = self.places.labels(row.prompt, row.image, call.queries.grid)
                assert labels is not None
                yield i, labels
