"""Retention: what was looked at in the step before stays looked at, so no concept fades.

A-STAR, Agarwal et al. 2023 (arXiv:2306.14544), the retention loss. With M_c the map of concept c in
this step, B_c where it was strong in the step before, r the overlap (`overlap`):

    L = sum over concepts c of 1 − r(M_c, B_c)        z ← z − α dL/dz, before every step

The first step has no B yet and only looks. Given `masks` stand for B, from the first step on (the
paper's user layouts).

The paper gives neither α nor the threshold of B nor how maps are normalised: all of these are ours,
the length of moves as in `word_objective`. ours: moves in the first 30 % of the steps, as those of
`Segregate` (with three steps or fewer it only looks); during=Interval() is the paper's. ours: maps
of maximum 1, since on raw ones the loss is nearly flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from ..call import Step
from ..control import Prompts
from ..interval import Interval
from ..recorder import Maps
from .concepts import Concept, Concepts, Spatial
from .overlap import Form, overlap
from .regions import Region, covered
from .word_objective import WordObjective

__all__ = ["Retain", "otsu"]

_LEVELS = 64  # ours: bins of Otsu's histogram


@dataclass(frozen=True, eq=False)
class Retain(WordObjective):
    """For one concept or more.

    concepts:  words of the prompt, such as ("cat", "dog").
    overlap:   the paper's ratio, whose loss is 1/2 for a map that is its mask, or Jaccard's.
    masks:     for some or all concepts by name where they shall be: a box or a painted mask.
    threshold: ours: of B, as a part of the map's maximum; "otsu" finds it.
    keep:      ours: in [0, 1), how much of earlier maps B keeps; 0 = the last step alone.
    settled:   ours: the part of the denoising after which B no longer changes.
    seen:      maps of the steps before; made by bind.
    """

    concepts: tuple[Concept, ...] = ()
    overlap: Form = "paper"
    masks: Mapping[str, Region] = field(default_factory=dict)
    threshold: float | Literal["otsu"] = 0.5
    keep: float = 0.0
    settled: float = 1.0
    during: Interval = field(default=Interval(0.0, 0.3), kw_only=True)
    spatial: Spatial = field(default="max", kw_only=True)
    seen: _Seen | None = None

    def bind(self, prompts: Prompts) -> Retain:
        first = self.first(prompts, "retain")
        if self.threshold != "otsu" and not 0 < self.threshold <= 1:
            raise ValueError(f"threshold: came {self.threshold!r}; expected (0, 1] or 'otsu'")
        if not 0 <= self.keep < 1 or not 0 <= self.settled <= 1:
            raise ValueError(
                f"keep, settled: came {self.keep} and {self.settled}; expected [0, 1) and [0, 1]"
            )
        found = Concepts.find("retain", self.concepts, prompts, first=first)
        unknown = set(self.masks) - set(found.names)
        if unknown:
            raise ValueError(
                f"masks: came one for {min(unknown)!r}; expected some of {', '.join(found.names)}"
            )
        columns = found.columns(self.reading.renorm)
        return replace(self, found=found, columns=columns, seen=_Seen())

    def loss(self, maps: Maps, step: Step) -> Tensor:
        assert self.found is not None
        return self.found.each(maps, lambda place, maps: self._lost(place, maps, step))

    def _lost(self, place: tuple[int, int], maps: Maps, step: Step) -> Tensor | None:
        assert self.found is not None and self.seen is not None
        own = self.found.maps(maps, place, self.reading)
        before = self.seen.before(step.index, place)
        names = [concept.name for concept in self.found.of[place[0]]]
        losses = []
        for i, name in enumerate(names):
            if name in self.masks:
                where = covered(self.masks[name], own.shape[-2:], f"masks: {name!r}").to(own)
            elif before is not None:
                where = self._strong(before[i]).to(own)
            else:
                continue
            losses.append(1 - overlap(own[i], where, self.overlap))
        self.seen.keep(step.index, place, self._blended(own.detach(), before, step))
        return torch.stack(losses).sum() if losses else None

    def _blended(self, now: Tensor, before: Tensor | None, step: Step) -> Tensor:
        if before is None:
            return now
        return before if step.progress > self.settled else torch.lerp(now, before, self.keep)

    def _strong(self, seen: Tensor) -> Tensor:
        """B [h, w], bool; nothing of an empty map."""
        limit = otsu(seen) if self.threshold == "otsu" else self.threshold * seen.max()
        return (seen >= limit) & (seen > 0)


class _Seen:
    """The maps of the last two steps; of a step that is looked at several times the last ones."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[tuple[int, int], Tensor]] = {}

    def before(self, index: int, place: tuple[int, int]) -> Tensor | None:
        """[K, h, w] of the last step before `index`, if any was looked at."""
        steps = [step for step in self._steps if step < index]
        return self._steps[max(steps)].get(place) if steps else None

    def keep(self, index: int, place: tuple[int, int], maps: Tensor) -> None:
        """Maps of step `index`."""
        self._steps.setdefault(index, {})[place] = maps
        for old in sorted(self._steps)[:-2]:
            del self._steps[old]


def otsu(values: Tensor) -> Tensor:
    """The threshold that parts the values best in two groups, a scalar.

    Otsu 1979, "A threshold selection method from gray-level histograms": it maximises
    w_0 w_1 (m_0 − m_1)², with w and m the share and the mean of each group.
    """
    low, high = values.min(), values.max()
    edges = torch.linspace(0, 1, _LEVELS + 1, device=values.device)[1:-1].to(values)
    limits = low + (high - low) * edges
    above = values.flatten() >= limits[:, None]
    share = above.to(values).mean(1)
    total = values.mean()
    part = (above * values.flatten()).mean(1)
    between = (total * share - part).square() / (share * (1 - share)).clamp_min(1e-12)
    return limits[between.argmax()]
