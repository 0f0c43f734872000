"""Finds a word or phrase in a text: the spans of characters where it stands as a whole unit.

"cat" is found in "Cat," and in "the cat's ear", not in "category". Inside a compound ("cat-like",
"blue_cat", a Korean noun with its particle, a longer Katakana run) it is found only when it stands
nowhere by itself, so that a part never takes the place of the word that was meant. In scripts
without blanks any place counts: there 猫 is also found in 熊猫, and `occurrence` chooses.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from .units import Cluster, Kind, Span, clusters, fold, quoted, shown_words

__all__ = ["MissingWordError", "Occurrence", "find_spans", "says"]

Occurrence = int | Literal["all"]
"""Which of a repeated word: 1 = the first, 2 = the second, …, or every one."""

_MOST_WORDS_LISTED = 40


class MissingWordError(ValueError):
    """The word is not in the text; that a word was cut off at the end is a plain ValueError."""


def find_spans(text: str, word: str, occurrence: Occurrence = "all") -> tuple[Span, ...]:
    """Spans of `word` in `text`, left to right and apart from each other; never empty.

    Case, composed or decomposed accents, the number of blanks and the style of hyphens and
    apostrophes make no difference. MissingWordError when the word is not there.
    """
    if not isinstance(word, str) or not word.strip():
        raise ValueError(f"word: expected a word or phrase of the prompt, got {word!r}")
    if occurrence != "all" and (
        isinstance(occurrence, bool) or not isinstance(occurrence, int) or occurrence < 1
    ):
        raise ValueError(f"occurrence: expected 1, 2, … or 'all', got {occurrence!r}")
    whole, part = _matches(clusters(text), fold(word))
    found = whole or part
    if not found:
        raise MissingWordError(_missing(text, word))
    if occurrence == "all":
        return tuple(found)
    if occurrence > len(found):
        times = "once" if len(found) == 1 else f"{len(found)} times"
        raise ValueError(
            f"occurrence: {occurrence} was asked for, but {word!r} stands {times} in {quoted(text)}"
        )
    return (found[occurrence - 1],)


def says(text: str, word: str) -> bool:
    """Whether `find_spans` finds the word in the text."""
    try:
        return bool(find_spans(text, word))
    except MissingWordError:
        return False


def _matches(parts: tuple[Cluster, ...], wanted: str) -> tuple[list[Span], list[Span]]:
    """Where the folded word stands by itself, and where as a part of a compound."""
    owner = [i for i, cluster in enumerate(parts) for _ in cluster.folded]
    folded = "".join(cluster.folded for cluster in parts)
    kinds = [cluster.kind for cluster in parts]
    whole: list[Span] = []
    part: list[Span] = []
    at = folded.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        first, last = owner[at], owner[end - 1]
        standing = _standing(parts, kinds, first, last)
        on_edges = (at == 0 or owner[at - 1] != first) and (
            end == len(folded) or owner[end] != last
        )
        if standing == "inside" or not on_edges:
            at = folded.find(wanted, at + 1)
            continue
        span = parts[first].start, parts[last].end
        (whole if standing == "whole" else part).append(span)
        at = folded.find(wanted, end)
    return whole, part


def _standing(
    parts: tuple[Cluster, ...], kinds: list[Kind], first: int, last: int
) -> Literal["whole", "part", "inside"]:
    """How clusters first..last stand among their neighbours."""
    outer = [(first, first - 1), (last, last + 1)]
    edges = [(kinds[a], kinds[b]) for a, b in outer if 0 <= b < len(kinds)]
    if (Kind.WORD, Kind.WORD) in edges:
        return "inside"
    if any(mine is other and mine in (Kind.HANGUL, Kind.KATAKANA) for mine, other in edges):
        return "part"
    joined_left = (
        first >= 2 and kinds[first - 1] is Kind.JOINER and _both_letters(kinds, first, first - 2)
    )
    joined_right = (
        last + 2 < len(kinds)
        and kinds[last + 1] is Kind.JOINER
        and _both_letters(kinds, last, last + 2)
        and not _is_possessive(parts, last + 1)
    )
    return "part" if joined_left or joined_right else "whole"


def _both_letters(kinds: list[Kind], a: int, b: int) -> bool:
    return not {kinds[a], kinds[b]} & {Kind.BLANK, Kind.JOINER, Kind.SIGN}


def _is_possessive(parts: tuple[Cluster, ...], joiner: int) -> bool:
    """Whether an "'s" that ends its word begins at that cluster."""
    letters = [cluster.folded for cluster in parts[joiner : joiner + 2]]
    ends = joiner + 2 >= len(parts) or parts[joiner + 2].kind is not Kind.WORD
    return letters == ["'", "s"] and ends


def _missing(text: str, word: str) -> str:
    """The sentence for a word that is not there: what is there, and which of it is closest."""
    there = list(dict.fromkeys(text[a:b] for a, b in shown_words(text)))
    shown = ", ".join(there[:_MOST_WORDS_LISTED]) or "none"
    if len(there) > _MOST_WORDS_LISTED:
        shown += f", … ({len(there) - _MOST_WORDS_LISTED} more)"
    by_folded = {fold(candidate): candidate for candidate in there}
    close = get_close_matches(fold(word), by_folded, n=1, cutoff=0.5)
    hint = f"; did you mean {by_folded[close[0]]!r}?" if close else ""
    return f"word: {word!r} is not in the prompt {quoted(text)}, whose words are: {shown}{hint}"
