"""What can be measured: our kernel, what runs beside it, the oracle, and the useful work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from . import disc, labelled, maps
from .case import Case
from .contender import Contender
from .dense import dense
from .natten import natten
from .pairs import disc_pairs, labelled_pairs
from .rows import Row

__all__ = ["SUITES", "Suite"]

Build = Callable[[Case, Sequence[Tensor]], list[Contender]]


@dataclass(frozen=True)
class Suite:
    """ours comes first in every turn.

    pairs:    of one head.
    remark:   what else the rows of a case show, our own first; goes into its note.
    windowed: the radius matters.
    backward: there is something to measure.
    """

    name: str
    ours: Callable[[Case, Sequence[Tensor]], Contender]
    rivals: Mapping[str, Build]
    reference: Callable[[Case], Callable[..., Tensor]]
    pairs: Callable[[Case], int]
    remark: Callable[[Case, Sequence[Row]], str] = lambda case, rows: ""
    windowed: bool = False
    backward: bool = True

    def default_rivals(self, device: str) -> tuple[str, ...]:
        """All; on a CPU without FlexAttention, whose compilation takes a minute."""
        slow = {"flex", "flex-tiled"} if device == "cpu" else set()
        return tuple(name for name in self.rivals if name not in slow)


_DISC = Suite(
    "disc",
    disc.ours,
    MappingProxyType(
        {
            "dense": dense,
            "flex": disc.flex_raster,
            "flex-tiled": disc.flex_tiled,
            "natten": natten,
        }
    ),
    disc.reference,
    lambda case: disc_pairs(case.grid, case.text, case.radius),
    windowed=True,
)
_LABELLED = Suite(
    "labelled",
    labelled.ours,
    MappingProxyType({"dense": dense, "mask": labelled.sdpa_masked, "flex": labelled.flex_labels}),
    labelled.reference,
    lambda case: labelled_pairs(*labelled.labels(case)),
)
_MAPS = Suite(
    "maps",
    maps.ours,
    MappingProxyType({"attention": maps.attention_alone, "eager": maps.eager}),
    maps.reference,
    lambda case: case.tokens**2,
    maps.cost,
    backward=False,
)

SUITES: Mapping[str, Suite] = MappingProxyType({s.name: s for s in (_DISC, _LABELLED, _MAPS)})
