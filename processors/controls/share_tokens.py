"""Consistent self-attention: every picture also looks at a random part of the others.

StoryDiffusion, Zhou et al. 2024 (arXiv:2405.01434). With S_i a random part of the tokens of the
other pictures, redrawn in each step and shared by the layers:

    keys and values of picture i are those of [S_i | X_i]        in the decoder

as the released code has it with its gate: not in the first step; in each call with probability
`early` before step `turn`, then `late`. Differs: steps are parts of the run, and draws have a
generator of their own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..sight import Sight, Sights
from .blocks import decoding
from .draws import drawn, drawn_from
from .places import Kept
from .subjects import numbered

__all__ = ["ShareTokens"]


@dataclass(frozen=True, eq=False)
class ShareTokens(Control):
    """All prompts of a call are of one story; nothing says who is where, so persons may mix.

    keep:    part of the others' tokens; 0 = none.
    early, late, turn: probabilities of the gate, and the part of the run after which the second
             holds; the code's 0.7 and 0.9, at step 20 of 50.
    sources: numbers of the prompts whose tokens are shared; None = all.
    prompts: numbers of the prompts that look at them; None = all. ours, for pictures that shall
             come out as by themselves.
    during:  the part of the denoising; the first step is always left alone.
    blocks:  in a transformer, the part of its blocks; ours.
    seed:    of the draws.
    """

    keep: float = 0.5
    early: float = 0.7
    late: float = 0.9
    turn: float = 0.4
    sources: tuple[int, ...] | None = None
    during: Interval = Interval()
    blocks: Interval = Interval(0.5, 1.0)
    seed: int = 0
    prompts: tuple[int, ...] | None = field(default=None, kw_only=True)
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    count: int = 0
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> ShareTokens | None:
        for name in ("keep", "early", "late", "turn"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: came {getattr(self, name)}; expected [0, 1]")
        numbered("sources", self.sources, prompts)
        readers = numbered("prompts", self.prompts, prompts)
        if prompts.count == 1 or not readers or self.keep == 0 or self.early == self.late == 0:
            return None
        return replace(self, count=prompts.count, kept=Kept())

    def acts(self, site: Site, step: Step) -> bool:
        if site.kind is Kind.CROSS or not decoding(site, self.blocks):
            return False
        if step.index == 0 or not self.during.active(step):
            return False
        chance = self.early if step.progress < self.turn else self.late
        return bool(drawn((self.seed, step.call, site.index), 1, chance))

    def phase(self, step: Step) -> Hashable:
        return None

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None
        others = range(self.count) if self.sources is None else self.sources

        def made() -> dict[int, Sight]:
            grid = call.queries.grid
            assert grid is not None
            every = torch.arange(grid[0] * grid[1])
            return drawn_from(
                call,
                self.rows,
                others,
                lambda prompt, image: every,
                seed=self.seed,
                probability=self.keep,
                readers=self.prompts,
            )

        return self.kept.sights(call, call.step.call, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        count = self.count if self.prompts is None else len(self.prompts)
        of = "each other" if self.prompts is None else "the others"
        return (f"share_tokens let {count} pictures look at {self.keep:.0%} of {of}",)
