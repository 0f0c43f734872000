"""Box layout: a concept is looked at inside of its box.

Layout control by backward guidance, Chen et al. 2023 (arXiv:2304.03373). With M_c the map of
concept c and b_c its box, 1 inside:

    E = mean over c of (1 − sum b_c M_c / sum M_c)²

Latents are moved until E <= 0.2, at most 5 times a step, in the first 10 of 51 steps.
Differs: each move has a length (`word_objective`), where the authors' α is 30 σ² of their sampler;
maps are averaged over the model's map grid before E is taken, not after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Step
from ..control import Prompts
from ..interval import Interval
from ..recorder import Maps
from .concepts import Concepts, Renorm
from .regions import Region, check_region, coverage
from .word_objective import WordObjective

__all__ = ["BoxLayout"]


@dataclass(frozen=True, eq=False)
class BoxLayout(WordObjective):
    """For one concept or more.

    boxes:  where each concept shall be, such as {"cat": (0.0, 0.3, 0.5, 0.9)}; or a painted mask.
    target: E at which a picture is left alone; a loss below it is reported as it.
    most:   moves in a step.
    """

    boxes: Mapping[str, Region] = field(default_factory=dict)
    target: float = 0.2
    most: int = 5
    during: Interval = field(default=Interval(0.0, 0.2), kw_only=True)
    renorm: Renorm = field(default="none", kw_only=True)
    smooth: bool = field(default=False, kw_only=True)

    def bind(self, prompts: Prompts) -> BoxLayout:
        first = self.first(prompts, "box_layout")
        if not 0 <= self.target < 1 or self.most < 1:
            raise ValueError(
                f"target, most: came {self.target} and {self.most}; expected [0, 1) and 1 or more"
            )
        for name, box in self.boxes.items():
            check_region(box, f"boxes: {name!r}")
        found = Concepts.find(
            "box_layout", tuple(self.boxes), prompts, first=first, argument="boxes"
        )
        return replace(self, found=found, columns=found.columns(self.reading.renorm))

    def loss(self, maps: Maps, step: Step) -> Tensor:
        assert self.found is not None
        return self.found.each(maps, self._energy)

    def again(self, losses: Tensor, step: Step, moves: int) -> Tensor:
        return (losses > self.target) & (moves < self.most - 1)

    def _energy(self, place: tuple[int, int], maps: Maps) -> Tensor:
        assert self.found is not None
        own = self.found.maps(maps, place, self.reading)
        boxes = torch.stack(
            [
                coverage(self.boxes[found.name], own.shape[-2:], f"boxes: {found.name!r}")
                for found in self.found.of[place[0]]
            ]
        ).to(own)
        inside = (boxes * own).flatten(1).sum(1) / own.flatten(1).sum(1).clamp_min(1e-8)
        energy = (1 - inside).square().mean()
        return energy.clamp_min(self.target)  # flat there: the latents stay
