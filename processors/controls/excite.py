"""Attend and excite: the concept that is looked at least gets a place where it is.

Chefer et al. 2023 (arXiv:2301.13826). With M_s the sharp, smoothed map of concept s (`concepts`):

    L = max over s of max(0, 1 − max over pixels p of M_s[p])     z ← z − α dL/dz

At three steps it is refined: as long as L > 1 − threshold, and at most 20 times, the latents are
moved and looked at again. The defaults are the authors' code: 50 steps, moves in the first 25, at
steps 0, 10 and 20 thresholds 0.05, 0.5 and 0.8.
Differs: a concept of several tokens has the mean of their maps (ours); the authors choose one of
them, which is reduce="first" or a position as concept. The map grid is the model's, not only 16².
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Step
from ..control import Prompts
from ..interval import Interval
from ..recorder import Maps
from .concepts import Concept, Concepts, Renorm, Spatial
from .word_objective import WordObjective

__all__ = ["Excite"]


@dataclass(frozen=True, eq=False)
class Excite(WordObjective):
    """For one concept or more.

    concepts:   words of the prompt, such as ("cat", "dog").
    thresholds: (part of the denoising, threshold) of each refinement; () = none.
    most:       moves of one refinement.
    """

    concepts: tuple[Concept, ...] = ()
    thresholds: tuple[tuple[float, float], ...] = ((0.0, 0.05), (0.2, 0.5), (0.4, 0.8))
    most: int = 20
    during: Interval = field(default=Interval(0.0, 0.5), kw_only=True)
    step_size: float = field(default=20.0, kw_only=True)
    relative: bool = field(default=False, kw_only=True)
    renorm: Renorm = field(default="sharp", kw_only=True)
    spatial: Spatial = field(default="none", kw_only=True)

    def bind(self, prompts: Prompts) -> Excite:
        first = self.first(prompts, "excite")
        if any(not (0 <= at <= 1 and 0 <= limit <= 1) for at, limit in self.thresholds):
            raise ValueError(
                f"thresholds: came {self.thresholds!r}; expected (part of the denoising, "
                "threshold), all in [0, 1]"
            )
        if self.most < 0:
            raise ValueError(f"most: came {self.most}; expected 0 or more")
        found = Concepts.find("excite", self.concepts, prompts, first=first)
        return replace(self, found=found, columns=found.columns(self.reading.renorm))

    def loss(self, maps: Maps, step: Step) -> Tensor:
        assert self.found is not None
        return self.found.each(maps, self._neglect)

    def again(self, losses: Tensor, step: Step, moves: int) -> Tensor:
        limits = [limit for at, limit in self.thresholds if _falls_in(at, step)]
        if not limits or moves >= self.most:
            return torch.zeros_like(losses, dtype=torch.bool)
        return losses > 1 - limits[-1]

    def _neglect(self, place: tuple[int, int], maps: Maps) -> Tensor:
        """Of the most neglected concept; the others get no gradient."""
        assert self.found is not None
        peaks = self.found.maps(maps, place, self.reading).flatten(1).max(1).values
        return (1 - peaks).clamp_min(0).max(0).values


def _falls_in(at: float, step: Step) -> bool:
    return int(at * step.count + 1e-6) == step.index
