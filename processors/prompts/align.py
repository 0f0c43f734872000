"""Which source token each target token follows: the maps of a word swap and of a refinement.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2 and the authors' code.

    swap:        A_edit[i, n] = sum_m A_source[i, m] * token_map[m, n]
    refinement:  A_edit[i, n] = alpha[n] * sum_m A_source[i, m] * token_map[m, n]
                                + (1 - alpha[n]) * A_target[i, n]

i counts queries (pixels), m and n the positions of the whole text axis in the source and in the
target; a model with several text encoders gets one square per encoder on the diagonal.
`align="exact"` is the default, `align="official"` reproduces the authors' code, defects included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from .matching import matches
from .runs import Word, words_in_runs
from .tokens import TokenizedText, TokenSpans
from .units import blank_words, quoted

__all__ = ["Align", "refinement_map", "replacement_map"]

Align = Literal["exact", "official"]


def replacement_map(source: TokenizedText, target: TokenizedText, align: Align = "exact") -> Tensor:
    """`[M, N]` float32 for a swap of words: row m says where source token m's attention goes.

    exact:    every row sums to 1, so no attention is lost or made; equal prompts give the
              identity. Words with equally many tokens map token by token; of m source and n target
              tokens every row gives 1/n to every column; what stands behind a word moves along
              with it, padding too, whose surplus goes to the last column. ours: what both words of
              a pair have at an end ("cat," and "tiger,": the comma) maps to itself; tokens whose
              target was cut off at the encoder's limit go to the end token.
    official: behind the last changed word the target's index stands for both axes; with unequal
              token counts every later word then reads a neighbour and rows sum to 0 or 2. With
              equal counts it is the exact map. Differs: words are found by character offsets.

    Columns may sum to anything. ValueError when the prompts have unequal numbers of words between
    blanks, or a changed word is past the encoder's limit.
    """
    _check(source, target, align)
    xs, ys = blank_words(source.text), blank_words(target.text)
    if len(xs) != len(ys):
        raise ValueError(
            f"target: a word swap needs as many words in both prompts, got {len(xs)} in "
            f"{quoted(source.text)} and {len(ys)} in {quoted(target.text)}; "
            "words are added or taken away by a refinement"
        )
    changed = [
        source.text[slice(*x)] != target.text[slice(*y)] for x, y in zip(xs, ys, strict=True)
    ]
    for x, y, differs in zip(xs, ys, changed, strict=True):
        if differs:
            source.require(x, "source")
            target.require(y, "target")

    def official(x: TokenSpans, y: TokenSpans) -> Tensor:
        return _official_swap(x, y, changed)

    return _on_diagonal(source, target, _exact_swap if align == "exact" else official)


def refinement_map(
    source: TokenizedText, target: TokenizedText, align: Align = "exact"
) -> tuple[Tensor, Tensor]:
    """`[M, N]` and alpha `[N]`, float32, for words that were added or taken away.

    Where alpha[n] = 1, column n holds a single 1, at the source token that target token n follows;
    where alpha[n] = 0 it is empty and the target keeps its own map. So columns sum to alpha.

    exact:    ours: units (words, signs) are matched, not tokens, so that a substituted word is not
              half matched by pieces it happens to share. The end token and the padding follow the
              source's, the last one standing in for missing ones. Equal prompts give the identity
              and ones.
    official: token ids are matched; behind the end token n follows n, so that with a shorter target
              the padding reads source words.
    """
    _check(source, target, align)
    square = _exact_refinement if align == "exact" else _official_refinement
    token_map = _on_diagonal(source, target, square)
    return token_map, token_map.sum(0)


def _check(source: TokenizedText, target: TokenizedText, align: Align) -> None:
    if align not in ("exact", "official"):
        raise ValueError(f"align: expected 'exact' or 'official', got {align!r}")
    axes = [
        [(b.block, b.offset, b.length, b.first) for b in text.blocks] for text in (source, target)
    ]
    if axes[0] != axes[1]:
        raise ValueError(
            f"target: expected the source's text encoders {axes[0]} "
            f"(name, offset, length, start tokens), got {axes[1]}"
        )


def _on_diagonal(
    source: TokenizedText,
    target: TokenizedText,
    square: Callable[[TokenSpans, TokenSpans], Tensor],
) -> Tensor:
    """One square per block; positions between blocks keep to themselves."""
    token_map = torch.eye(source.length)
    for x, y in zip(source.blocks, target.blocks, strict=True):
        here = slice(x.offset, x.offset + x.length)
        token_map[here, here] = square(x, y)
    return token_map


def _exact_swap(x: TokenSpans, y: TokenSpans) -> Tensor:
    token_map = torch.zeros(x.length, x.length)
    end = min(y.last, y.length - 1)
    for k in range(x.first):
        token_map[k, k] = 1
    for a, b in zip(words_in_runs(x), words_in_runs(y), strict=True):
        for rows, columns in _followed(x, a, y, b):
            _give(token_map, rows, columns or [end])
    for k in range(x.length - x.last):
        token_map[x.last + k, min(y.last + k, y.length - 1)] = 1
    return token_map


def _official_swap(x: TokenSpans, y: TokenSpans, changed: list[bool]) -> Tensor:
    token_map = torch.zeros(x.length, x.length)
    row = column = 0
    for a, b, differs in zip(words_in_runs(x), words_in_runs(y), changed, strict=True):
        rows, columns = _joined(a), _joined(b)
        if differs and rows and columns:
            while row < rows[0] and column < y.length:
                token_map[row, column] = 1
                row, column = row + 1, column + 1
            _give(token_map, rows, columns)
            row, column = rows[-1] + 1, columns[-1] + 1
    for n in range(column, column + x.length - max(row, column)):
        token_map[n, n] = 1  # the defect: the row should be n - column + row
    return token_map


def _exact_refinement(x: TokenSpans, y: TokenSpans) -> Tensor:
    token_map = torch.zeros(x.length, x.length)
    for k in range(x.first):
        token_map[k, k] = 1
    xs = [unit for word in words_in_runs(x) for unit in word]
    ys = [unit for word in words_in_runs(y) for unit in word]
    for i, j in matches(_ids(x, xs), _ids(y, ys)):
        _give(token_map, xs[i], ys[j])
    for k in range(y.length - y.last):
        token_map[min(x.last + k, x.length - 1), y.last + k] = 1
    return token_map


def _official_refinement(x: TokenSpans, y: TokenSpans) -> Tensor:
    token_map = torch.zeros(x.length, x.length)
    for m, n in matches(x.ids, y.ids):
        token_map[m, n] = 1
    for n in range(len(y.ids), y.length):
        token_map[n, n] = 1
    return token_map


def _followed(
    x: TokenSpans, a: Word, y: TokenSpans, b: Word
) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Which rows of word a give to which columns of word b, unit by unit where that can be told."""
    of_a, of_b = _ids(x, a), _ids(y, b)
    shorter = min(len(a), len(b))
    head = next((k for k in range(shorter) if of_a[k] != of_b[k]), shorter)
    tail = next((k for k in range(shorter - head) if of_a[-1 - k] != of_b[-1 - k]), shorter - head)
    between = a[head : len(a) - tail], b[head : len(b) - tail]
    one_grew = bool(between[0]) != bool(between[1])
    if len(_joined(a)) == len(_joined(b)) or one_grew:
        # "sea" and "sea-horse": what is new must not be left without attention, so all share.
        yield _joined(a), _joined(b)
        return
    yield from zip(a[:head], b[:head], strict=True)
    if len(between[0]) == len(between[1]):
        yield from zip(*between, strict=True)
    else:
        yield _joined(between[0]), _joined(between[1])
    yield from zip(a[len(a) - tail :], b[len(b) - tail :], strict=True)


def _give(token_map: Tensor, rows: Sequence[int], columns: Sequence[int]) -> None:
    """One to one where the numbers agree, else each row evenly to all columns."""
    for k, row in enumerate(rows):
        if len(rows) == len(columns):
            token_map[row, columns[k]] = 1
        else:
            token_map[row, list(columns)] = 1 / len(columns)


def _ids(tokens: TokenSpans, units: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    return [tuple(tokens.ids[i] for i in unit) for unit in units]


def _joined(word: Word) -> tuple[int, ...]:
    return tuple(position for unit in word for position in unit)
