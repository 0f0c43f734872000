"""When an edit holds, for each token of each edited prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..call import Step
from ..interval import Interval
from ..prompts import MissingWordError, TokenizedText

__all__ = ["Gates", "found_in"]


@dataclass(frozen=True)
class Gates:
    """`during` for all tokens but those of words that have an interval of their own.

    own: for each edit (prompt 1 first) the tokens and intervals of such words.
    """

    during: Interval
    own: tuple[tuple[tuple[tuple[int, ...], Interval], ...], ...] = ()

    @classmethod
    def of(
        cls, during: Interval, words: Mapping[str, Interval], edits: Sequence[TokenizedText]
    ) -> Gates:
        """Words are those of the edited prompts; ValueError when one is in none of them."""
        own: list[list[tuple[tuple[int, ...], Interval]]] = [[] for _ in edits]
        for word, interval in words.items():
            for edit, tokens in found_in(edits, word).items():
                own[edit].append((tokens, interval))
        return cls(during, tuple(map(tuple, own)))

    def active(self, step: Step) -> bool:
        """Whether any gate is open."""
        return any(self.phase(step))

    def phase(self, step: Step) -> tuple[bool, ...]:
        """Which gates are open."""
        own = (interval for edit in self.own for _, interval in edit)
        return self.during.active(step), *(interval.active(step) for interval in own)

    def open(self, step: Step, prompt: int, length: int) -> Tensor:
        """[length] of 0 and 1, for edited prompt 1, 2, …"""
        gate = torch.full((length,), self.during.gate(step))
        for tokens, interval in self.own[prompt - 1] if self.own else ():
            gate[list(tokens)] = interval.gate(step)
        return gate


def found_in(texts: Sequence[TokenizedText], word: str) -> dict[int, tuple[int, ...]]:
    """Which of the texts have the word, and its tokens; ValueError when none has."""
    found, errors = {}, []
    for i, text in enumerate(texts):
        try:
            found[i] = text.find(word).indices
        except MissingWordError as error:
            errors.append(error)
    if not found and errors:
        raise errors[-1]
    return found
