"""Structured diffusion: each noun phrase is also read by itself, so that words do not leak.

Structured Diffusion Guidance, Feng et al. 2023 (arXiv:2212.05032). A text encoder mixes earlier
words into later ones. With W_0 the embeddings of the prompt, W_j those of phrase j alone, R_0 = W_0
and R_j = W_0 with the phrase's rows replaced by those of W_j, over j = 0 … k, in cross-attention:

    values       softmax(Q K_0ᵀ) · mean of the V_j        K_0 of W_0, V_j of R_j
    conjunction  mean of the softmax(Q K_jᵀ) · V*         K_j of R_j, V* of W_0 with all phrases

ours: in "values" the mean is taken of the embeddings, which is the same and costs nothing in the
denoiser. Differs: W_0 stays as it is for K_0, where the authors' code writes the phrases into it;
unconditional rows read what they always read; several sentences and pictures may come.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from ..call import Batch, Call, Kind, Rows, Site, Step
from ..control import Context, Control, Prompts
from ..interval import Interval
from ..prompts import MissingWordError, TokenizedText, tokenize
from ..prompts.parser import phrase_spans
from ..prompts.units import Span

__all__ = ["Aligned", "StructurePhrases"]


@dataclass(frozen=True, eq=False)
class Aligned:
    """A phrase of a prompt.

    text:      its words.
    positions: [n] on the text axis.
    embeds:    [n, C], what the encoder makes of it alone.
    """

    text: str
    positions: Tensor
    embeds: Tensor

    def written(self, embeds: Tensor) -> Tensor:
        """[T, C] with the phrase's rows in the place of those that are there."""
        return embeds.index_copy(0, self.positions.to(embeds.device), self.embeds.to(embeds))


@dataclass(frozen=True, eq=False)
class StructurePhrases(Control):
    """A prompt without a phrase of two words or more is left alone, bit for bit.

    phrases: those of the prompts; none = found in each of them.
    parser:  "rules" (ours), or the name or folder of a spaCy model that is installed.
    mode:    "values", or "conjunction" for "A and B" prompts that lose things: k + 1 attentions.
    during:  the part of the denoising in which it holds.
    rows:    Rows.COND_EDIT leaves the source of an edit alone.
    aligned: for each prompt the phrases in it, outer ones first; made by bind.
    """

    phrases: tuple[str, ...] = ()
    parser: str = "rules"
    mode: Literal["values", "conjunction"] = "values"
    during: Interval = Interval()
    rows: Rows = field(default=Rows.COND, kw_only=True)
    aligned: tuple[tuple[Aligned, ...], ...] = ()

    def bind(self, prompts: Prompts) -> StructurePhrases | None:
        if self.mode not in ("values", "conjunction"):
            raise ValueError(f"mode: came {self.mode!r}; expected 'values' or 'conjunction'")
        if self.rows is Rows.ALL:
            raise ValueError("rows: came Rows.ALL; expected Rows.COND or Rows.COND_EDIT")
        texts = prompts.tokenized("structure_phrases")
        first = 0 if self.rows is Rows.COND else 1
        spans = _given(texts[first:], self.phrases) if self.phrases else None
        found: list[tuple[Aligned, ...]] = [() for _ in texts]
        for i, text in enumerate(texts[first:]):
            own = phrase_spans(text.text, self.parser) if spans is None else spans[i]
            found[first + i] = tuple(_aligned(text, own, prompts))
        if not any(found):
            return None
        kind = StructurePhrases if self.mode == "values" else _Conjunction
        return kind(self.phrases, self.parser, self.mode, self.during, tuple(found), rows=self.rows)

    def acts(self, site: Site, step: Step) -> bool:
        return site.kind is Kind.CROSS and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def context(self, site: Site, step: Step, batch: Batch, context: Context) -> Context:
        values = context.v.clone()
        for row in batch.select(self.rows):
            phrases = self.aligned[batch.rows[row].prompt]
            if phrases:
                values[row] = _mean(context.v[row], phrases)
        return Context(context.k, values)


@dataclass(frozen=True, eq=False)
class _Conjunction(StructurePhrases):
    """A map for each phrase. Of rows with fewer phrases than others the last keys count nothing."""

    @property
    def _most(self) -> int:
        return 1 + max(map(len, self.aligned))

    def context(self, site: Site, step: Step, batch: Batch, context: Context) -> Context:
        if context.k is not context.v:
            raise ValueError(
                "controls: structure_phrases in the mode 'conjunction' came after a control that "
                "changed what keys or values read; expected it before"
            )
        keys = context.k[:, None].repeat(1, self._most, 1, 1)
        values = context.v.clone()
        for row in batch.select(self.rows):
            for j, phrase in enumerate(self.aligned[batch.rows[row].prompt], 1):
                keys[row, j] = phrase.written(keys[row, j])
                values[row] = phrase.written(values[row])
        return Context(keys.flatten(1, 2), values.repeat(1, self._most, 1))

    def tokens(self, call: Call) -> Call:
        size = call.shape[3]
        if size % self._most or call.keys.reference is not None:
            raise ValueError(
                "controls: structure_phrases in the mode 'conjunction' came with another control "
                "that adds text keys, such as region_prompts; expected mode='values'"
            )
        text = slice(0, size // self._most)
        return replace(call, keys=replace(call.keys, text=text, reference=slice(text.stop, size)))

    def edit(self, probs: Tensor, call: Call) -> Tensor:
        maps = probs.unflatten(-1, (self._most, -1))
        maps = maps / maps.sum(-1, keepdim=True)
        share = torch.zeros(len(probs), self._most)
        share[:, 0] = 1
        for row in call.batch.select(self.rows):
            count = 1 + len(self.aligned[call.batch.rows[row].prompt])
            share[row, :count] = 1 / count
        return (maps * share.to(maps)[:, None, None, :, None]).flatten(-2)


def _mean(embeds: Tensor, phrases: Sequence[Aligned]) -> Tensor:
    """Of R_0 … R_k, [T, C]; rows that are no phrase's keep their bits."""
    wide = embeds.to(torch.promote_types(embeds.dtype, torch.float32))
    kept = torch.full_like(wide[:, :1], len(phrases) + 1)
    added = torch.zeros_like(wide)
    for phrase in phrases:
        at = phrase.positions.to(embeds.device)
        kept[at] -= 1
        added[at] += phrase.embeds.to(wide)
    mean = ((wide * kept + added) / (len(phrases) + 1)).to(embeds.dtype)
    return torch.where(kept == len(phrases) + 1, embeds, mean)


def _given(texts: Sequence[TokenizedText], phrases: Sequence[str]) -> list[list[Span]]:
    """Where the phrases stand in each text; ValueError for one that stands in none."""
    spans: list[list[Span]] = [[] for _ in texts]
    for phrase in phrases:
        errors = []
        for own, text in zip(spans, texts, strict=True):
            try:
                own += text.find(phrase).spans
            except MissingWordError as error:
                errors.append(error)
        if len(errors) == len(texts):
            raise errors[-1]
    return [sorted(own, key=lambda span: (span[0], -span[1])) for own in spans]


def _aligned(text: TokenizedText, spans: Sequence[Span], prompts: Prompts) -> Iterator[Aligned]:
    """The phrases that the encoder reads whole, as tokens that it also sees in the prompt.

    One that is the whole prompt changes nothing and is left out.
    """
    for span in spans:
        words = text.text[slice(*span)]
        if words.strip() == text.text.strip() or not all(b.holds(span) for b in text.blocks):
            continue
        positions: list[int] = []
        own: list[int] = []
        for block, alone in zip(text.blocks, tokenize(words, prompts.blocks).blocks, strict=True):
            here = block.overlapping(span)
            if [block.ids[i] for i in here] == list(alone.ids[alone.first : alone.last]):
                positions += (block.offset + i for i in here)
                own += (alone.offset + i for i in range(alone.first, alone.last))
        if not positions:
            continue
        if prompts.encode is None:
            raise ValueError(f"phrases: no pipeline is there to encode {words!r}")
        embeds = prompts.encode([words])[0]
        yield Aligned(words, torch.tensor(positions), embeds[own])
