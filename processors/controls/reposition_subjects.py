"""Reposition: each subject of the scene also looks at its own portrait, as if it stood there.

IR-Diffusion, He et al. 2024 (arXiv:2411.19261), reposition attention, as its code has it. With
b_r, b_t the boxes of subject i in its portrait (mask ρ) and in the scene (mask τ), every cell p of
b_t takes the portrait's token at the nearest cell n(p) of b_r, if ρ has it; queries of τ see these
keys beside their own.

A UNet's and SD 3's attention know no places, and copies of a key are one key with a weight:

    score(q, k) + log m_k        m_k = how many cells p of b_t have n(p) = k, none = no key

which is exact, without a copied feature. FLUX and Qwen-Image turn keys by their places (RoPE): a
key moves to where it belongs, in fractions of a token, and none is copied (ours):

    y* = top_t + (y − top_r + 1/2) h_t / h_r − 1/2,   x* alike

gate: queries of τ see the portrait with probability 1 − dropout, drawn for each step, subject and
grid. Differs: an empty draw stays empty, and the draws have a generator of their own, so the
picture depends on `seed` alone. With move=False and gate=False: DreamStory's masked mutual
self-attention, He et al. 2024 (arXiv:2407.12899), where the draw drops keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..call import Call, Kind, Site
from ..control import Prompts
from ..interval import Interval
from ..sight import Reference, Sight, Sights
from .blocks import decoding
from .draws import drawn
from .subject_control import SubjectControl
from .subjects import seat

__all__ = ["RepositionSubjects", "moved", "multiplicity"]


@dataclass(frozen=True, eq=False)
class RepositionSubjects(SubjectControl):
    """Portraits are prompts of the same call, and read nothing from the scene.

    dropout:  0 = strongest likeness, least change of pose; 1 = the portraits are not read.
    bonus:    nats for all portrait keys, λ_ref of the code.
    gate:     whether only a subject's own queries see its portrait; else all queries of the scene
              see all portraits, and `dropout` is of keys.
    move:     whether the portrait is moved and scaled into its place.
    mass:     "area" (the paper's): a portrait weighs as much as its place in the scene has tokens;
              "unit" (ours): as much as it has keys itself. Without rotary places only.
    after:    sites with a smaller number are left alone; the released code's for SDXL is 72.
    seed:     of the draws.
    blocks:   in a transformer, the part of its blocks; a UNet's decoder. ours.
    """

    away: ClassVar[Kind] = Kind.CROSS

    dropout: float = 0.5
    bonus: float = 0.0
    gate: bool = True
    move: bool = True
    mass: Literal["area", "unit"] = "area"
    after: int = 0
    seed: int = 0
    blocks: Interval = field(default=Interval(0.5, 1.0), kw_only=True)

    def bind(self, prompts: Prompts) -> RepositionSubjects | None:
        self.check(prompts, "reposition_subjects", portraits=True)
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout: came {self.dropout}; expected [0, 1]")
        if self.mass not in ("area", "unit"):
            raise ValueError(f"mass: came {self.mass!r}; expected 'area' or 'unit'")
        if not self.subjects or self.dropout == 1:
            return None
        return self.placed(prompts, "reposition_subjects")

    def deep(self, site: Site) -> bool:
        return decoding(site, self.blocks) and site.index >= self.after

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None
        if call.site.kind is self.away or not self.settled:
            return None

        def made() -> dict[int, Sight]:
            found = ((i, self._sight(call, i, labels)) for i, labels in self.labelled(call))
            return {i: sight for i, sight in found if sight is not None}

        return self.kept.sights(call, call.step.call if self.dropout else None, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt: who saw a portrait, and who could not."""
        assert self.places is not None
        return self.places.notes("reposition_subjects gave a portrait to")

    def _sight(self, call: Call, i: int, labels: Tensor) -> Sight | None:
        grid, row = call.queries.grid, call.batch.rows[i]
        assert grid is not None
        asks, references = torch.zeros_like(labels), []
        for number, subject in enumerate(self.subjects, 1):
            target, source = (labels == number).view(grid), seat(subject, grid)
            if not bool(target.any()) or not bool(source.any()):
                continue
            assert subject.portrait is not None
            keys, weight, by = self._keys(call, source, target)
            draw = (self.seed, call.step.call, grid, row.image, subject.name)
            if self.gate:
                open_ = drawn(draw, len(labels), 1 - self.dropout)
                asks[(labels == number) & open_] = number
            else:
                chosen = drawn(draw, len(keys), 1 - self.dropout)
                keys, weight = keys[chosen], weight[chosen]
                by = None if by is None else by[chosen]
            references.append(
                Reference(
                    call.batch.beside(i, subject.portrait),
                    keys,
                    weight if bool(weight.any()) else None,
                    frozenset({number}) if self.gate else None,
                    moved=by,
                )
            )
        return Sight(asks, references=tuple(references)) if references else None

    def _keys(
        self, call: Call, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Positions [K], nats [K] and, where attention knows places, moves [K, 2]."""
        if not self.move or call.site.rotary is not None:
            keys = source.flatten().nonzero()[:, 0]
            by = moved(source, target) if self.move else None
            return keys, torch.full((len(keys),), self.bonus), by
        times = multiplicity(source, target).flatten()
        keys = times.nonzero()[:, 0]
        weight = times[keys].float().log() + self.bonus
        if self.mass == "unit" and len(keys):
            weight = weight - log(int(times.sum()) / len(keys))
        return keys, weight, None


def multiplicity(source: Tensor, target: Tensor) -> Tensor:
    """[h, w] int64: how many cells of the target's box take each cell of the source.

    source, target: [h, w] bool, neither empty. Cells outside the source count nothing.
    """
    counts = []
    for axis in (1, 0):  # rows, then columns
        (first, size), (_, wanted) = _span(source, axis), _span(target, axis)
        taken = first + torch.arange(wanted) * size // wanted
        counts.append(torch.bincount(taken, minlength=source.shape[1 - axis]))
    return counts[0][:, None] * counts[1] * source


def moved(source: Tensor, target: Tensor) -> Tensor:
    """[K, 2] fp32: rows and columns by which each source token moves into the target's box."""
    cells = source.nonzero().double()
    by = []
    for i, axis in enumerate((1, 0)):
        (first, size), (start, wanted) = _span(source, axis), _span(target, axis)
        place = start + (cells[:, i] - first + 0.5) * wanted / size - 0.5
        by.append(place - cells[:, i])
    return torch.stack(by, 1).float()


def _span(mask: Tensor, axis: int) -> tuple[int, int]:
    """First line and number of lines of the mask's box; axis 1: rows, axis 0: columns."""
    lines = mask.any(axis).nonzero()[:, 0]
    return int(lines[0]), int(lines[-1] - lines[0]) + 1
