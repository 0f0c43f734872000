"""Layout: in an early part of the run the edit's pixels look at each other as the source's do.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2, self-attention injection:

    O_edit = A_source V_edit          at self-attention sites with a small grid
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from ..call import Call, Kind, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..mix import Mix

__all__ = ["KeepLayout"]


@dataclass(frozen=True, eq=False)
class KeepLayout(Control):
    """Values stay the edit's own: that is why its text still changes the picture.

    during:   the part of the denoising in which it holds; the paper's examples: the first 40 %.
    max_side: sites whose grid has at most so many tokens a side at the size the model was trained
              at; 32 is the later of the two notebooks at 512 px. ours: counted at the trained size,
              so that other picture sizes steer the same sites.
    """

    paired: ClassVar[bool] = True

    during: Interval = Interval(0.0, 0.4)
    max_side: int = 32

    def bind(self, prompts: Prompts) -> KeepLayout:
        prompts.require_edits("keep_layout")
        return self

    def acts(self, site: Site, step: Step) -> bool:
        return site.kind is Kind.SELF and site.side <= self.max_side and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def mix(self, call: Call, mix: Mix) -> Mix:
        for row in call.batch.edits:
            mix = mix.looked_by(row, call.batch.source_of(row))
        return mix
