"""The nouns and colours of a prompt of emoji world, each with the tokens of its own occurrence."""

from __future__ import annotations

from dataclasses import dataclass

from ..emoji.expect import expect
from ..processors.prompts import TokenizedText

__all__ = ["ThingWord", "thing_words"]


@dataclass(frozen=True)
class ThingWord:
    """A noun, or the colour that stands before it.

    kind:   "noun" or "colour".
    thing:  its place among the things of the prompt.
    name:   what tells it from the others of the prompt, such as "red of dog".
    """

    text: str
    kind: str
    thing: int
    name: str
    tokens: tuple[int, ...]


def thing_words(prompt: TokenizedText) -> tuple[ThingWord, ...]:
    """Of each thing its noun, then its colour if one is said; ValueError for nouns not plain."""
    things = expect(prompt.text).things
    nouns = [noun for noun, _ in things]
    if not nouns or len(set(nouns)) < len(nouns):
        raise ValueError(
            f"prompts: {prompt.text!r} names {nouns}; expected one or more different nouns"
        )
    words = []
    for i, (noun, colour) in enumerate(things):
        there = prompt.find(noun)
        words.append(ThingWord(noun, "noun", i, noun, there.indices))
        if colour is not None:
            ends = [end for _, end in prompt.find(colour).spans]
            last = sum(end <= there.spans[0][0] for end in ends)
            tokens = prompt.find(colour, last).indices
            words.append(ThingWord(colour, "colour", i, f"{colour} of {noun}", tokens))
    return tuple(words)
