"""Noun phrases of a prompt by a few rules of English, without a model.

ours: a text is cut at punctuation, conjunctions, prepositions, forms of be and have, and at words
in -ing that are no part of a phrase; what is left between two cuts is (determiner)? modifier* noun.
It knows no parts of speech, so a bare verb is taken for a part of a phrase: phrases that are given
by hand, or found by a parser, are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .units import Span, shown_words

__all__ = ["Phrase", "nested", "noun_phrases", "things"]

_DETERMINERS = frozenset(
    "a an the this that these those my your his her its our their some any each every no another "
    "one two three four five six seven eight nine ten".split()
)
_PREPOSITIONS = frozenset(
    "with without of in on at to by for from into onto over under above below behind beside "
    "between near inside outside around through across against like upon underneath beneath "
    "next left right front top".split()
)
_ONLY_BEFORE = {"next": "to", "left": "of", "right": "of", "front": "of", "top": "of"}
_CUTS = frozenset(
    "and or but nor while as is are was were be been being has have having there it they who which "
    "wearing holding".split()
)
_NOUNS_IN_ING = frozenset(
    "ring king wing string spring thing morning evening building painting drawing ceiling wedding "
    "lightning pudding earring clothing railing sibling duckling dumpling viking sling "
    "swing".split()
)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: all of its words, and the last of them, which is taken for the noun.

    span:      characters from its first word to its last, determiner included.
    noun:      characters of the noun.
    modifiers: characters of each word between determiner and noun.
    """

    span: Span
    noun: Span
    modifiers: tuple[Span, ...]


def noun_phrases(text: str) -> tuple[Phrase, ...]:
    """Phrases of one word or more, left to right and apart from each other."""
    runs: list[list[Span]] = [[]]
    words = shown_words(text)
    for i, (start, end) in enumerate(words):
        word = text[start:end].casefold()
        after = text[slice(*words[i + 1])].casefold() if i + 1 < len(words) else ""
        if runs[-1] and _is_cut(text[runs[-1][-1][1] : start]):
            runs.append([])
        if _cuts(word, after, begins=all(_is_determiner(text, w) for w in runs[-1])):
            runs.append([])
        elif _is_determiner(text, (start, end)) and runs[-1]:
            runs.append([(start, end)])  # "a cat the dog": a determiner begins a phrase
        else:
            runs[-1].append((start, end))
    return tuple(phrase for run in runs if (phrase := _phrase(text, run)) is not None)


def nested(text: str, phrases: Sequence[Span]) -> tuple[Span, ...]:
    """Spans of phrases of two words or more, and of two that prepositions join; outer ones first.

    phrases: left to right and apart from each other.
    """
    found = {span for span in phrases if len(shown_words(text[slice(*span)])) > 1}
    for (start, stop), (resume, end) in pairwise(phrases):
        gap = text[stop:resume]
        words = [gap[a:b].casefold() for a, b in shown_words(gap)]
        if words and not _is_cut(gap) and _PREPOSITIONS.issuperset(words):
            found.add((start, end))
    return tuple(sorted(found, key=lambda span: (span[0], -span[1])))


def things(text: str) -> tuple[str, ...]:
    """What a picture shall show, when nobody says: nouns of phrases with a determiner, each once.

    ours; places are left out, which are phrases after "on", "in" or "at", such as "on the beach".
    """
    found = []
    for phrase in noun_phrases(text):
        start = phrase.span[0]
        before = [text[a:b].casefold() for a, b in shown_words(text[:start])]
        first = text[start : shown_words(text[start:])[0][1] + start]
        if first.casefold() in _DETERMINERS and before[-1:] not in (["on"], ["in"], ["at"]):
            found.append(text[slice(*phrase.noun)])
    return tuple(dict.fromkeys(found))


def _is_cut(gap: str) -> bool:
    """Whether there is punctuation between two words."""
    return any(not (sign.isspace() or sign.isalnum()) for sign in gap)


def _is_determiner(text: str, word: Span) -> bool:
    return text[slice(*word)].casefold() in _DETERMINERS


def _cuts(word: str, after: str, *, begins: bool) -> bool:
    """Whether a word stands between phrases; `begins`: none of a phrase's own words came yet."""
    if word in _ONLY_BEFORE:
        return after == _ONLY_BEFORE[word]
    if word.endswith("ing") and len(word) > 4 and word not in _NOUNS_IN_ING:
        return not begins or not after
    return word in _PREPOSITIONS or word in _CUTS


def _phrase(text: str, run: list[Span]) -> Phrase | None:
    own = [word for word in run if not _is_determiner(text, word)]
    if not own:
        return None
    return Phrase((run[0][0], run[-1][1]), own[-1], tuple(own[:-1]))
