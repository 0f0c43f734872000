"""The nouns and colours of a prompt and the tokens they became."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..emoji.expect import expect

__all__ = ["Word", "find_words"]


@dataclass(frozen=True)
class Word:
    """A noun or colour of a prompt: the thing it belongs to, and its token's place."""

    text: str
    kind: str
    thing: int
    token: int


def find_words(tokenizer: Any, prompt: str) -> tuple[Word, ...]:
    """The nouns of a prompt and the colours that stand before them, one token each."""
    things = expect(prompt).things
    nouns = [noun for noun, _ in things]
    if not nouns or len(set(nouns)) < len(nouns):
        raise ValueError(f"prompts: {prompt!r} names {nouns}; expected one or more different nouns")
    spans = tokenizer(prompt, truncation=True, return_offsets_mapping=True)["offset_mapping"]

    def token(span: tuple[int, int]) -> int:
        if span not in spans:
            raise ValueError(
                f"prompts: {prompt[slice(*span)]!r} in {prompt!r} is no single token; expected one"
            )
        return spans.index(span)

    words = []
    for i, (noun, colour) in enumerate(things):
        at = _last(noun, prompt, len(prompt))
        words.append(Word(noun, "noun", i, token(at)))
        if colour:
            words.append(Word(colour, "colour", i, token(_last(colour, prompt, at[0]))))
    return tuple(words)


def _last(word: str, prompt: str, end: int) -> tuple[int, int]:
    """Where a word stands last before `end`."""
    spans = [m.span() for m in re.finditer(rf"\b{word}\b", prompt[:end], re.IGNORECASE)]
    if not spans:
        raise ValueError(f"prompts: {prompt!r} does not hold {word!r} itself; expected that form")
    return spans[-1]
