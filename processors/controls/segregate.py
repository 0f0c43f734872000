"""Segregation: concepts are drawn apart, where they would be looked at in the same places.

A-STAR, Agarwal et al. 2023 (arXiv:2306.14544), the segregation loss. With M_c the map of concept c
and r the overlap (`overlap`):

    L = sum over pairs {c, d} of r(M_c, M_d)          z ← z − α dL/dz, before every step

The paper gives neither α nor how maps are normalised: the length of moves (`word_objective`) is
ours, and so are `renorm`, `smooth` and `spatial`, after Attend-and-Excite. ours: moves in the first
30 % of the steps, since the layout is decided early and later moves of that length break more than
they mend; during=Interval() is the paper's. ours: maps of sum 1, since r can else be lowered by
starving the weaker concept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations

import torch
from torch import Tensor

from ..call import Step
from ..control import Prompts
from ..interval import Interval
from ..recorder import Maps
from .concepts import Concept, Concepts
from .overlap import Form, overlap
from .word_objective import WordObjective

__all__ = ["Segregate"]


@dataclass(frozen=True, eq=False)
class Segregate(WordObjective):
    """For two concepts or more; prompts that have fewer of them are left alone.

    concepts: words of the prompt, such as ("cat", "dog").
    overlap:  the paper's ratio or Jaccard's.
    touching: ours: pairs that may overlap, such as (("frog", "crown"),).
    """

    concepts: tuple[Concept, ...] = ()
    overlap: Form = "paper"
    touching: tuple[tuple[str, str], ...] = ()
    during: Interval = field(default=Interval(0.0, 0.3), kw_only=True)

    def bind(self, prompts: Prompts) -> Segregate:
        first = self.first(prompts, "segregate")
        if len(self.concepts) < 2:
            raise ValueError(f"concepts: came {self.concepts!r}; segregate needs two or more")
        found = Concepts.find("segregate", self.concepts, prompts, first=first)
        found = replace(found, of=tuple(own if len(own) > 1 else () for own in found.of))
        if not any(found.of):
            raise ValueError(f"concepts: no prompt has two of {self.concepts!r}")
        unknown = {name for pair in self.touching for name in pair} - set(found.names)
        if unknown:
            raise ValueError(
                f"touching: came {min(unknown)!r}; expected pairs of {', '.join(found.names)}"
            )
        return replace(self, found=found, columns=found.columns(self.reading.renorm))

    def loss(self, maps: Maps, step: Step) -> Tensor:
        assert self.found is not None
        return self.found.each(maps, self._overlaps)

    def _overlaps(self, place: tuple[int, int], maps: Maps) -> Tensor | None:
        assert self.found is not None
        names = [concept.name for concept in self.found.of[place[0]]]
        may = {frozenset(pair) for pair in self.touching}
        pairs = [
            (a, b)
            for a, b in combinations(range(len(names)), 2)
            if frozenset((names[a], names[b])) not in may
        ]
        if not pairs:
            return None
        own = self.found.maps(maps, place, self.reading)
        a, b = (torch.stack([own[pair[side]] for pair in pairs]) for side in (0, 1))
        return overlap(a, b, self.overlap).sum()
