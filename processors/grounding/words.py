"""What each token of a referring expression is: one that counts, a stop word, or a magnet.

RefAM, Kukleva et al. 2025 (arXiv:2509.22650): stop words and appended magnets attract attention
that belongs to nothing, so they are dropped once they have taken their share.
ours: the list of stop words, the head phrase, the words of place. A token is told by where it
stands, never by its letters, so that a magnet "with" is not the "with" of the expression.
"""

from __future__ import annotations

from enum import Enum

from ..prompts import TokenSpans, shown_words
from .rules import GroundRules

__all__ = ["SIDES", "Role", "expression_roles", "ground_prompt", "sides_of"]

Span = tuple[int, int]

_PREPOSITIONS = frozenset(
    "about above across after against along among around as at before behind below beneath beside "
    "between beyond by during for from in inside into near next of off on onto opposite out over "
    "past through to toward towards under up upon wearing with within without that which who whose "
    "where while".split()
)
_ARTICLES = frozenset(
    "a an the this that these those some any its his her their my your our is are was were be been "
    "being has have had it he she they there here and or but not very one ones".split()
)
_STOP_WORDS = _PREPOSITIONS | _ARTICLES
SIDES = {
    "left": "left", "leftmost": "left", "right": "right", "rightmost": "right",
    "top": "top", "upper": "top", "uppermost": "top", "above": "top",
    "bottom": "bottom", "lower": "bottom", "lowest": "bottom", "below": "bottom",
    "middle": "middle", "center": "middle", "centre": "middle", "central": "middle",
}  # fmt: skip
"""Words that say where in the picture, and the side they mean."""


class Role(Enum):
    """What a token of the grounding prompt is for."""

    CONTENT = "content"  # its map counts
    STOP = "stop"  # takes its share and is dropped
    MAGNET = "magnet"  # appended, takes its share and is dropped


def ground_prompt(expression: str, rules: GroundRules) -> str:
    """The expression and its magnets; ValueError for an expression without a word."""
    text = expression.strip()
    words = {text[a:b].casefold() for a, b in shown_words(text)}
    if not words:
        raise ValueError(f"expression: came {expression!r}; expected one with a word")
    return " ".join([text, *(m for m in rules.magnets if m.casefold() not in words)])


def expression_roles(
    block: TokenSpans, expression: str, rules: GroundRules
) -> tuple[tuple[int, Role], ...]:
    """(position on the whole text axis, role) of each token of the prompt, in order.

    block: `ground_prompt(expression, rules)` in one of the model's text blocks.

    Start, end and padding tokens have no role. Where nothing but stop words is left, these count.
    ValueError when the encoder does not read the prompt to its end.
    """
    text = expression.strip()
    if block.cut_at is not None:
        lost = ", ".join(repr(word) for word in block.cut_words)
        raise ValueError(
            f"expression: the text encoder reads {block.length} tokens ({block.block}) and does "
            f"not see {lost}; expected a shorter expression or fewer magnets"
        )
    counts = _content(text, rules)
    found = []
    for i in range(block.first, block.last):
        start, end = block.spans[i]
        if start >= len(text):
            role = Role.MAGNET
        elif any(start < b and a < end for a, b in counts):
            role = Role.CONTENT
        else:
            role = Role.STOP
        found.append((block.offset + i, role))
    return tuple(found)


def sides_of(expression: str) -> tuple[str, ...]:
    """All sides of the picture that the expression names, in its order.

    "the cat left of the dog" says it of the cat, "the left cat" too. What a side is said of is not
    told apart.
    """
    words = [expression[a:b].casefold() for a, b in shown_words(expression)]
    return tuple(dict.fromkeys(SIDES[word] for word in words if word in SIDES))


def _content(text: str, rules: GroundRules) -> list[Span]:
    """Spans of the words whose maps count."""
    words = shown_words(text)
    kept = _head(text, words) if rules.head_phrase else list(words)
    if not rules.stop_words:
        return kept
    dropped = _STOP_WORDS | (SIDES.keys() if rules.spatial_bias else frozenset())
    for candidates in (kept, list(words)):
        left = [(a, b) for a, b in candidates if text[a:b].casefold() not in dropped]
        if left:
            return left
    return list(words)


def _head(text: str, words: tuple[Span, ...]) -> list[Span]:
    """Words before the first preposition that follows a word that means a thing.

    "on the left, the dog" has none before its preposition, so all of it stays.
    """
    for i, (a, b) in enumerate(words):
        before = [text[c:d].casefold() for c, d in words[:i]]
        things = [w for w in before if w not in _STOP_WORDS and w not in SIDES]
        word = text[a:b].casefold()
        if things and (
            word in _PREPOSITIONS or (word in ("left", "right") and _of(text, words, i))
        ):
            return list(words[:i])
    return list(words)


def _of(text: str, words: tuple[Span, ...], i: int) -> bool:
    """Whether "of" or "to" follows, as in "the dog left of the cat"."""
    after = words[i + 1 : i + 2]
    return bool(after) and text[slice(*after[0])].casefold() in ("of", "to")
