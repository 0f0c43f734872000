"""Tokens in runs: every token of a text belongs to one unit, every unit to one word between blanks.

So "a t-rex" is the words (a), (t, -, rex), whatever number of tokens each unit has. A token that
covers several units belongs to the first, a token that covers none (a doubled blank, for some
tokenizers) to the next. Words and units without tokens keep their place as empty runs, so that the
words of two prompts can be counted against each other even when one prompt was cut.
"""

from __future__ import annotations

from .tokens import TokenSpans
from .units import blank_words, units

__all__ = ["Word", "words_in_runs"]

Word = tuple[tuple[int, ...], ...]
"""The units of a word, each as the positions of its tokens in the block; no empty unit."""


def words_in_runs(tokens: TokenSpans) -> tuple[Word, ...]:
    """One `Word` per word between blanks; together they hold each token of the text once."""
    spans = units(tokens.text)
    runs: list[list[int]] = [[] for _ in spans]
    unit = 0
    for position in range(tokens.first, tokens.last):
        start = tokens.spans[position][0]
        while unit + 1 < len(spans) and spans[unit][1] <= start:
            unit += 1
        if runs:
            runs[unit].append(position)
    return tuple(
        tuple(
            tuple(run)
            for (start, end), run in zip(spans, runs, strict=True)
            if run and first <= start and end <= last
        )
        for first, last in blank_words(tokens.text)
    )
