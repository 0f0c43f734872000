"""Binding: a noun and its attributes are looked at in the same places, and nothing else there.

SynGen, Rassin et al. 2023 (arXiv:2306.08877). With M the maps of tokens, of sum 1, over all pairs
(n, m) of a noun and one of its modifiers, U the prompt's tokens outside the noun's group:

    K(p, q) = 1/2 sum over pixels of (p − q)(log p − log q)
    L = sum of K(M_n, M_m) − 1/2 [mean over u in U of K(M_n, M_u) + mean of K(M_m, M_u)]

A word of several tokens counts with the one that is farthest. The authors' code: α = 20 throughout,
moves in the first half of the steps, no smoothing, modifiers from a dependency parser.
ours: without a parser, modifiers are the words before a noun (`prompts.phrases`) or those given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Step
from ..control import Prompts
from ..interval import Interval
from ..prompts import TokenizedText
from ..prompts.phrases import noun_phrases
from ..prompts.units import Span
from ..recorder import Maps
from .concepts import Concepts, Found, Renorm
from .gates import found_in
from .word_objective import WordObjective

__all__ = ["BindAttributes", "divergence"]

_TINY = 1e-8

Group = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""Tokens of a noun, and of each of its modifiers."""


@dataclass(frozen=True, eq=False)
class BindAttributes(WordObjective):
    """A prompt without any modifier is left alone.

    pairs:    modifiers of each noun, such as {"car": ("red",)}; none = found in each prompt.
    entities: whether a noun without modifiers is held apart from the rest too.
    groups:   for each prompt; made by bind.
    """

    pairs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    entities: bool = False
    groups: tuple[tuple[Group, ...], ...] = ()
    during: Interval = field(default=Interval(0.0, 0.5), kw_only=True)
    step_size: float = field(default=20.0, kw_only=True)
    relative: bool = field(default=False, kw_only=True)
    renorm: Renorm = field(default="none", kw_only=True)
    smooth: bool = field(default=False, kw_only=True)

    def bind(self, prompts: Prompts) -> BindAttributes | None:
        first = self.first(prompts, "bind_attributes")
        texts = prompts.tokenized("bind_attributes")
        groups: list[tuple[Group, ...]] = [() for _ in texts]
        if self.pairs:
            given = self._given(texts[first:])
            groups[first:] = [given[i] for i in range(len(given))]
        else:
            groups[first:] = [_parsed(text) for text in texts[first:]]
        kept = [tuple(g for g in own if g[1] or self.entities) for own in groups]
        if not any(kept):
            return None
        inside = tuple(
            tuple(b.offset + i for b in text.blocks for i in range(b.first, b.last))
            for text in texts
        )
        of = tuple(
            (Found("all", tokens),) if own else () for own, tokens in zip(kept, inside, strict=True)
        )
        found = Concepts(of, inside, inside, prompts.images)
        return replace(
            self, groups=tuple(kept), found=found, columns=found.columns(self.reading.renorm)
        )

    def rate(self, step: Step) -> float:
        return self.weight * self.step_size if self.during.active(step) else 0.0

    def loss(self, maps: Maps, step: Step) -> Tensor:
        assert self.found is not None
        return self.found.each(maps, self._unbound)

    def _unbound(self, place: tuple[int, int], maps: Maps) -> Tensor:
        assert self.found is not None
        tokens = self.found.texts[place[0]]
        own = self.found.tokens(maps, place, tokens, self.renorm)
        far = divergence(self.reading.concepts([m[None] for m in own]))
        at = {token: i for i, token in enumerate(tokens)}
        total = torch.zeros((), dtype=far.dtype, device=far.device)
        for noun, modifiers in self.groups[place[0]]:
            group = {t for word in (noun, *modifiers) for t in word}
            others = [at[t] for t in tokens if t not in group]
            rows = {word: far[[at[t] for t in word]] for word in (noun, *modifiers)}
            outside = {
                word: row[:, others].max(0).values.mean() if others else 0.0
                for word, row in rows.items()
            }
            for word in modifiers:
                near = rows[noun][:, [at[t] for t in word]].max()
                total = total + near - (outside[noun] + outside[word]) / 2
            if not modifiers:
                total = total - outside[noun] / 2
        return total

    def _given(self, texts: Sequence[TokenizedText]) -> list[tuple[Group, ...]]:
        found: list[list[Group]] = [[] for _ in texts]
        for noun, words in self.pairs.items():
            if isinstance(words, str):
                raise ValueError(f"pairs: came {words!r} for {noun!r}; expected a tuple of words")
            places = [found_in(texts, word) for word in words]
            for i, tokens in found_in(texts, noun).items():
                own = tuple(place[i] for place in places if i in place)
                shared = {t for word in own for t in word} & set(tokens)
                if shared:
                    raise ValueError(f"pairs: {noun!r} and its {words!r} share tokens {shared}")
                found[i].append((tokens, own))
        return [tuple(own) for own in found]


def divergence(maps: Tensor) -> Tensor:
    """K of every two of the maps [T, h, w] of sum 1: [T, T]."""
    flat = maps.flatten(1)
    logs = (flat + _TINY).log()
    cross = flat @ logs.T
    own = cross.diagonal()
    return (own[:, None] + own - cross - cross.T) / 2


def _parsed(text: TokenizedText) -> tuple[Group, ...]:
    """Groups of the prompt as it is read; words that were cut off belong to none."""

    def tokens(span: Span) -> tuple[int, ...]:
        return tuple(b.offset + i for b in text.blocks for i in b.overlapping(span))

    found = []
    for phrase in noun_phrases(text.text):
        noun = tokens(phrase.noun)
        words = tuple(own for span in phrase.modifiers if (own := tokens(span)))
        if noun:
            found.append((noun, words))
    return tuple(found)
