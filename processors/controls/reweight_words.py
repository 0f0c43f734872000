"""Re-weighting: a word's attention is made stronger, weaker or negative.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2, "attention re-weighting":

    A[i, n] ← A[i, n] · (1 − g + g · c[n])

i: pixel, n: token, c: weight of the token's word, g: 1 while the control holds. As in the authors'
code, rows are not normalised again. In joint attention they are: there c is a bias log c of the
finished map, 0 hides the word and a negative weight is refused.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

import torch

from ..call import Call, Rows, Site, Step
from ..control import AnyMix, Control, Prompts
from ..interval import Interval
from .blocks import WORDS, within
from .gates import found_in

__all__ = ["ReweightWords"]


@dataclass(frozen=True, eq=False)
class ReweightWords(Control):
    """Scales the map that a row has after the edits listed before this one, or its own.

    weights: c of each word; a word counts in every prompt of `rows` that has it.
    during:  the part of the denoising in which it holds.
    rows:    Rows.COND also re-weights the source, and is what a run with one prompt needs.
    prompts: numbers of the prompts it is for, the first being 0; None = all of `rows`.
    tokens_of: for each prompt the tokens and their weights; made by bind.
    blocks:  in a transformer, the part of its blocks that take part, in the order they run.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    during: Interval = Interval()
    tokens_of: tuple[tuple[tuple[tuple[int, ...], float], ...], ...] = ()
    blocks: Interval = WORDS
    prompts: tuple[int, ...] | None = None

    def bind(self, prompts: Prompts) -> ReweightWords | None:
        if self.rows is Rows.ALL:
            raise ValueError("rows: re-weighting is for Rows.COND_EDIT or Rows.COND, came Rows.ALL")
        first = 1 if self.rows is Rows.COND_EDIT else 0
        if first:
            prompts.require_edits("reweight_words with rows=Rows.COND_EDIT")
        if all(weight == 1 for weight in self.weights.values()):
            return None
        texts = prompts.tokenized("reweight_words")
        asked = range(first, len(texts)) if self.prompts is None else self.prompts
        if not asked or not set(asked) <= set(range(first, len(texts))):
            raise ValueError(
                f"prompts: {list(asked)} came to reweight_words; expected some of "
                f"{first} to {len(texts) - 1}"
            )
        found: list[list[tuple[tuple[int, ...], float]]] = [[] for _ in texts]
        for word, weight in self.weights.items():
            for i, tokens in found_in([texts[n] for n in asked], word).items():
                found[asked[i]].append((tokens, weight))
        return replace(self, tokens_of=tuple(map(tuple, found)))

    def departs(self, prompt: int) -> bool:
        return bool(self.tokens_of[prompt])

    def acts(self, site: Site, step: Step) -> bool:
        return site.has_text and within(site, self.blocks) and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def mix(self, call: Call, mix: AnyMix) -> AnyMix:
        for row in call.batch.select(self.rows):
            factor = torch.ones(call.texts)
            for tokens, weight in self.tokens_of[call.batch.rows[row].prompt]:
                factor[list(tokens)] *= weight
            mix = mix.scaled(row, factor)
        return mix
