"""A scene's prompt with its subjects said as in their portraits: "a cat" becomes "a red cat".

Story tools put a character's description into each scene that names it: StoryDiffusion's demo,
Zhou et al. 2024 (arXiv:2405.01434), writes it before the scene's prompt. ours: only where the scene
says no more than the word, its first mention, and only the words between the portrait's determiner
and its noun, by the rules of `processors.prompts.phrases`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..processors.prompts import says
from ..processors.prompts.phrases import noun_phrases
from ..processors.prompts.spans import find_spans

__all__ = ["completed"]


def completed(prompt: str, portraits: Mapping[str, str]) -> str:
    """The prompt, with words of portraits before those who are only named.

    portraits: the portrait's prompt of each subject, by its word.
    """
    changes = []
    for word, portrait in portraits.items():
        here, there = _mention(prompt, word), _mention(portrait, word)
        if here is not None and there is not None:
            begin, own, start = here
            _, known, end = there
            if own == start and known < end:
                changes.append((begin, start, portrait[known:end]))
    for begin, start, words in sorted(changes, reverse=True):
        determiner = _fitting(prompt[begin:start], words)
        prompt = f"{prompt[:begin]}{determiner}{words}{prompt[start:]}"
    return prompt


def _mention(text: str, word: str) -> tuple[int, int, int] | None:
    """Where the phrase whose noun is the word begins, its first word but determiners, and the word.

    Of the word's first place in the text; None where it is part of something else, or nowhere.
    """
    if not says(text, word):
        return None
    start, end = find_spans(text, word)[0]
    for phrase in noun_phrases(text):
        if phrase.span[0] <= start and end == phrase.span[1]:
            first = (*phrase.modifiers, phrase.noun)[0]
            return phrase.span[0], first[0], start
    return None


def _fitting(determiner: str, words: str) -> str:
    """ "a " or "an " as the words want it; another one as it is."""
    said = determiner.strip()
    if said.casefold() not in ("a", "an"):
        return determiner
    right = said[0] + ("n" if words[0].casefold() in "aeiou" else "")
    return determiner.replace(said, right)
