"""Word swap: where a word was exchanged, the edit keeps looking where the source looked.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2, "word swap":

    A_edit[i, n] = g[n] · sum_m A_source[i, m] token_map[m, n]  +  (1 − g[n]) · A_edit[i, n]

i: pixel, m: source token, n: target token, g: 1 while the gate of the target word is open.
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
from ..prompts.align import Align, replacement_map
from .blocks import WORDS, within
from .gates import Gates

__all__ = ["ReplaceWords"]


@dataclass(frozen=True, eq=False)
class ReplaceWords(Control):
    """All prompts have as many words as the first; all sites with text take part.

    during:    the part of the denoising in which it holds; the paper's examples: the first 80 %.
    words:     intervals of single target words, such as {"lion": Interval(0, 0.4)}.
    align:     "official" keeps the defects of the authors' code for words of unequal token counts.
    token_map: [E, M, N] for E edits, rows sum to 1; bind makes it when it is not given.
    gates:     made by bind.
    blocks:    in a transformer, the part of its blocks that take part, in the order they run.
    """

    paired: ClassVar[bool] = True

    during: Interval = Interval(0.0, 0.8)
    words: Mapping[str, Interval] = field(default_factory=dict)
    align: Align = "exact"
    token_map: Tensor | None = None
    gates: Gates | None = None
    blocks: Interval = WORDS

    def bind(self, prompts: Prompts) -> ReplaceWords:
        prompts.require_edits("replace_words")
        token_map, gates = self.token_map, Gates(self.during)
        if token_map is None or self.words:
            source, *edits = prompts.tokenized("replace_words")
            gates = Gates.of(self.during, self.words, edits)
        if token_map is None:
            token_map = torch.stack([replacement_map(source, e, self.align) for e in edits])
        return replace(self, token_map=token_map, gates=gates)

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
        assert self.token_map is not None and self.gates is not None
        for row in call.batch.edits:
            prompt = call.batch.rows[row].prompt
            gate = self.gates.open(call.step, prompt, call.texts)
            token_map = self.token_map[prompt - 1]
            mix = mix.read_as(row, call.batch.source_of(row), token_map, gate)
        return mix
