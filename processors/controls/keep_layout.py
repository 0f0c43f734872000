"""Layout: in an early part of the run the edit's pixels look at each other as the source's do.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2, self-attention injection:

    O_edit = A_source V_edit          at self-attention sites with a small grid

In joint attention ("maps") the same holds for the image keys of image queries; what is left of each
row is for the text. "qk" is the preset of Shin et al. 2025 (arXiv:2508.07519): the source's queries
and keys stand in for those of all image tokens, and text columns follow from them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..call import Call, Kind, Site, Step
from ..control import AnyMix, Control, Prompts
from ..interval import Interval
from .blocks import LAYOUT, within

__all__ = ["Inject", "KeepLayout"]

Inject = Literal["maps", "qk"]


@dataclass(frozen=True, eq=False)
class KeepLayout(Control):
    """Values stay the edit's own: that is why its text still changes the picture.

    during:   the part of the denoising in which it holds; the paper's examples: the first 40 %.
    max_side: sites whose grid has at most so many tokens a side at the size the model was trained
              at; 32 is the later of the two notebooks at 512 px. ours: counted at the trained size,
              so that other picture sizes steer the same sites. Only for UNets.
    blocks:   in a transformer, the part of its blocks that take part, in the order they run.
    inject:   what is the source's in joint attention; without text keys both are the same.
    """

    paired: ClassVar[bool] = True

    during: Interval = Interval(0.0, 0.4)
    max_side: int = 32
    blocks: Interval = LAYOUT
    inject: Inject = "maps"

    def bind(self, prompts: Prompts) -> KeepLayout:
        prompts.require_edits("keep_layout")
        if self.inject not in ("maps", "qk"):
            raise ValueError(f"inject: came {self.inject!r}; expected 'maps' or 'qk'")
        return self

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        small = site.side <= self.max_side if site.depth is None else within(site, self.blocks)
        return site.kind is not Kind.CROSS and small and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def tokens(self, call: Call) -> Call:
        image = call.queries.image
        if self.inject != "qk" or call.site.kind is not Kind.JOINT or image is None:
            return call
        q, k = call.q.clone(), call.k.clone()
        for row in call.batch.edits:
            source = call.batch.source_of(row)
            q[row, :, image], k[row, :, image] = q[source, :, image], k[source, :, image]
        return call.with_tokens(q, k, call.v)

    def mix(self, call: Call, mix: AnyMix) -> AnyMix:
        if self.inject == "qk" and call.site.kind is Kind.JOINT:
            return mix
        for row in call.batch.edits:
            mix = mix.looked_by(row, call.batch.source_of(row))
        return mix
