"""Refinement: what the edited prompt shares with the source keeps the source's attention.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2, "adding a new phrase":

    A_edit[i, n] = w[n] · sum_m A_source[i, m] token_map[m, n]  +  (1 − w[n]) · A_edit[i, n]
    w[n] = g[n] · al[n]

i: pixel, m: source token, n: target token; al[n] is 1 where target token n follows a source token,
0 where it is new; g is 1 while the gate of the target word is open.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..call import Call, Site, Step
from ..control import AnyMix, Control, Prompts
from ..interval import Interval
from ..prompts.align import Align, refinement_map
from .blocks import WORDS, within
from .gates import Gates

__all__ = ["RefineWords"]


@dataclass(frozen=True, eq=False)
class RefineWords(Control):
    """Words may be added, taken away or substituted; all sites with text take part.

    during:    the part of the denoising in which it holds; the paper's examples: the first 80 %.
    words:     intervals of single target words.
    align:     "official" keeps the defects of the authors' code for shorter targets.
    token_map: [E, M, N] for E edits and
    aligned:   al [E, N]; bind makes both when they are not given.
    gates:     made by bind.
    blocks:    in a transformer, the part of its blocks that take part, in the order they run.
    """

    paired: ClassVar[bool] = True

    during: Interval = Interval(0.0, 0.8)
    words: Mapping[str, Interval] = field(default_factory=dict)
    align: Align = "exact"
    token_map: Tensor | None = None
    aligned: Tensor | None = None
    gates: Gates | None = None
    blocks: Interval = WORDS

    def bind(self, prompts: Prompts) -> RefineWords:
        prompts.require_edits("refine_words")
        token_map, aligned, gates = self.token_map, self.aligned, Gates(self.during)
        if token_map is None or aligned is None or self.words:
            source, *edits = prompts.tokenized("refine_words")
            gates = Gates.of(self.during, self.words, edits)
        if token_map is None or aligned is None:
            pairs = [refinement_map(source, edit, self.align) for edit in edits]
            token_map, aligned = (torch.stack(part) for part in zip(*pairs, strict=True))
        return replace(self, token_map=token_map, aligned=aligned, gates=gates)

    def departs(self, prompt: int) -> bool:
        assert self.token_map is not None
        own = self.token_map[prompt - 1]
        return not torch.equal(own, torch.eye(*own.shape))

    def acts(self, site: Site, step: Step) -> bool:
        return (
            site.has_text
            and within(site, self.blocks)
            and self.gates is not None
            and self.gates.active(step)
        )

    def phase(self, step: Step) -> Hashable:
        return self.gates and self.gates.phase(step)

    def mix(self, call: Call, mix: AnyMix) -> AnyMix:
        assert self.token_map is not None and self.aligned is not None and self.gates is not None
        for row in call.batch.edits:
            edit = call.batch.rows[row].prompt - 1
            gate = self.gates.open(call.step, edit + 1, call.texts) * self.aligned[edit]
            mix = mix.read_as(row, call.batch.source_of(row), self.token_map[edit], gate)
        return mix
