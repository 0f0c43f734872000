"""Style of the first picture: others take its statistics and look at it too.

StyleAligned, Hertz et al. 2023 (arXiv:2312.02133). In self-attention, for every prompt but the
reference's, with μ, σ over image tokens, for each head and channel:

    Q ← (Q − μ_Q) / σ_Q · σ_Q0 + μ_Q0,   K alike        K ← [K | scale K_0],   V ← [V | V_0]

and log-weight `bonus` on the reference's keys. Variance is unbiased, with 1e-5 added to σ² (as in
the code). Values are left alone. On models that turn keys by their places this happens before the
turning, and image tokens alone take part.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..sight import Reference, Sight, Sights
from .blocks import within
from .places import Kept
from .subjects import numbered

__all__ = ["AlignStyle"]

_TINY = 1e-5


@dataclass(frozen=True, eq=False)
class AlignStyle(Control):
    """For conditional and unconditional rows, each with the reference's row of its own half.

    reference: number of the prompt whose style it is.
    statistics: whether queries and keys take its means and deviations.
    share:     whether its keys and values are seen.
    scale:     factor of its keys; the authors: 0.5 for very famous pictures.
    bonus:     nats for its keys; the authors: log 2 for the style of a real picture.
    during, blocks: the part of the denoising, and of a transformer's blocks.
    prompts:   numbers of the prompts that take it; None = every other one. ours.
    kept:      made by bind.
    """

    reference: int = 0
    statistics: bool = True
    share: bool = True
    scale: float = 1.0
    bonus: float = 0.0
    during: Interval = Interval()
    blocks: Interval = Interval()
    prompts: tuple[int, ...] | None = field(default=None, kw_only=True)
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> AlignStyle | None:
        if not 0 <= self.reference < prompts.count:
            raise ValueError(
                f"reference: came prompt {self.reference}; the run has 0 to {prompts.count - 1}"
            )
        takers = numbered("prompts", self.prompts, prompts) - {self.reference}
        idle = not takers or not (self.statistics or self.share)
        return None if idle else replace(self, kept=Kept())

    def acts(self, site: Site, step: Step) -> bool:
        where = site.kind is not Kind.CROSS and within(site, self.blocks)
        return where and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def tokens(self, call: Call) -> Call:
        image, rows = call.queries.image, self._rows(call)
        if not self.statistics or image is None or not rows:
            return call
        places, changed = self._places(call), []
        for x in (call.q, call.k):
            tokens, x = x[:, :, image], x.clone()
            plain = tokens if places is None else _turned(call, tokens, -places)
            for row, source in rows:
                aligned = _aligned(plain[row], plain[source])
                x[row, :, image] = aligned if places is None else _turned(call, aligned, places)
            changed.append(x)
        return call.with_tokens(changed[0], changed[1], call.v)

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None
        if not self.share:
            return None

        def made() -> dict[int, Sight]:
            size = call.shape[2] if call.keys.image is None else _length(call.keys.image)
            weight = torch.full((size,), self.bonus) if self.bonus else None
            return {
                row: Sight(references=(Reference(source, weight=weight, factor=self.scale),))
                for row, source in self._rows(call)
            }

        return self.kept.sights(call, None, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        whom = "every picture" if self.prompts is None else f"prompts {list(self.prompts)}"
        return (f"align_style gave {whom} the style of prompt {self.reference}",)

    def _rows(self, call: Call) -> list[tuple[int, int]]:
        """(row, the reference's row) of every other prompt."""
        return [
            (row, call.batch.beside(row, self.reference))
            for row in call.batch.select(self.rows)
            if (prompt := call.batch.rows[row].prompt) != self.reference
            and (self.prompts is None or prompt in self.prompts)
        ]

    def _places(self, call: Call) -> Tensor | None:
        rotary, grid = call.site.rotary, call.queries.grid
        if rotary is None:
            return None
        assert grid is not None
        return rotary.places(grid).to(call.device)


def _turned(call: Call, x: Tensor, by: Tensor) -> Tensor:
    assert call.site.rotary is not None
    return call.site.rotary.turned(x, by)


def _aligned(x: Tensor, like: Tensor) -> Tensor:
    """[H, N, D] with the mean and the deviation of another one, over tokens."""
    (spread, mean), (wanted, level) = (torch.var_mean(y, 1, keepdim=True) for y in (x, like))
    return (x - mean) * ((wanted + _TINY) / (spread + _TINY)).sqrt() + level


def _length(part: slice) -> int:
    return int(part.stop - part.start)
