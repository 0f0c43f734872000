"""The maps of a word swap and of a refinement: known values, kept mass, the official defects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors.prompts import TextBlock, TokenizedText, tokenize
from attention_studio.processors.prompts.align import Align, refinement_map, replacement_map
from attention_studio.processors.prompts.matching import matches

Reader = Callable[[str, int], TokenizedText]
ALIGNS: tuple[Align, ...] = ("exact", "official")
# "x-y" is three tokens where every known word is one: the example of the specification.
ONE, THREE = "a cat riding a bike", "a x-y riding a bike"


def _nonzeros(token_map: Tensor) -> list[tuple[int, int, float]]:
    return [(m, n, round(token_map[m, n].item(), 6)) for m, n in token_map.nonzero().tolist()]


def _followed(token_map: Tensor, alpha: Tensor) -> list[int | None]:
    return [int(token_map[:, n].argmax()) if a else None for n, a in enumerate(alpha.tolist())]


def test_swap_of_one_token_for_three(of_bike: Reader) -> None:
    token_map = replacement_map(of_bike(ONE, 12), of_bike(THREE, 12))
    third = round(1 / 3, 6)
    shifted = [(m, m + 2, 1.0) for m in range(3, 10)]
    expected = [(0, 0, 1.0), (1, 1, 1.0), *((2, n, third) for n in (2, 3, 4)), *shifted]
    assert _nonzeros(token_map) == [*expected, (10, 11, 1.0), (11, 11, 1.0)]
    torch.testing.assert_close(token_map.sum(1), torch.ones(12))


def test_swap_of_three_tokens_for_one(of_bike: Reader) -> None:
    token_map = replacement_map(of_bike(THREE, 12), of_bike(ONE, 12))
    shifted = [(m, m - 2, 1.0) for m in range(5, 12)]
    three = [(m, 2, 1.0) for m in (2, 3, 4)]
    assert _nonzeros(token_map) == [(0, 0, 1.0), (1, 1, 1.0), *three, *shifted]
    assert token_map.sum(1).tolist() == [1.0] * 12


def test_official_swap_of_one_token_for_three(of_bike: Reader) -> None:
    """Target 5, "riding", reads source 5, "bike"; two source rows are lost."""
    token_map = replacement_map(of_bike(ONE, 12), of_bike(THREE, 12), "official")
    third = round(1 / 3, 6)
    expected = [(0, 0, 1.0), (1, 1, 1.0), *((2, n, third) for n in (2, 3, 4))]
    assert _nonzeros(token_map) == [*expected, *((n, n, 1.0) for n in range(5, 12))]
    assert [m for m in range(12) if token_map[m].sum() == 0] == [3, 4]


def test_official_swap_of_three_tokens_for_one(of_bike: Reader) -> None:
    """Two rows have sum 2 and the last columns are empty."""
    token_map = replacement_map(of_bike(THREE, 12), of_bike(ONE, 12), "official")
    assert [m for m in range(12) if token_map[m].sum() == 2] == [3, 4]
    assert [n for n in range(12) if token_map[:, n].sum() == 0] == [10, 11]


@pytest.mark.parametrize("align", ALIGNS)
def test_swap_of_equal_token_counts_is_the_identity(of_bike: Reader, align: Align) -> None:
    token_map = replacement_map(of_bike(ONE, 77), of_bike("a dog riding a tiger", 77), align)
    assert torch.equal(token_map, torch.eye(77))


@pytest.mark.parametrize(
    ("source", "target", "word", "follows"),
    [
        ("a cat, riding", "a x-y, riding", "riding", "riding"),
        ("a cat, riding", "a x-y, riding", ",", ","),
        ("(cat) riding", "(x-y) riding", "cat", "x-y"),
        ("a red-cat", "a red-xyz", "red", "red"),
        ("一只猫 riding", "一只老虎 riding", "猫", "老虎"),
        ("一只猫 riding", "一只老虎 riding", "只", "只"),
        ("red cat", "red tiger-cat", "cat", "tiger-cat"),
    ],
)
def test_a_word_gives_its_attention_to_its_partner(
    of_bike: Reader, source: str, target: str, word: str, follows: str
) -> None:
    """Punctuation and whatever else two words have in common at an end stays with itself."""
    x, y = of_bike(source, 40), of_bike(target, 40)
    token_map = replacement_map(x, y)
    rows, columns = list(x.find(word).indices), list(y.find(follows).indices)
    torch.testing.assert_close(token_map[rows].sum(1), torch.ones(len(rows)))
    torch.testing.assert_close(token_map[rows][:, columns].sum(), torch.tensor(float(len(rows))))


def test_what_grew_is_not_left_without_attention(of_bike: Reader) -> None:
    """Not all for "cat" and nothing for "tiger-": a word and its compound share evenly."""
    source, target = of_bike("red cat", 9), of_bike("red tiger-cat", 9)
    assert replacement_map(source, target)[2].tolist() == [
        0,
        0,
        *[pytest.approx(1 / 3)] * 3,
        *[0] * 4,
    ]


def test_attention_of_words_that_the_limit_cuts_goes_to_the_end_token(of_bike: Reader) -> None:
    source, target = of_bike("a cat riding bike", 6), of_bike("a x-y riding bike", 6)
    assert (source.blocks[0].last, target.blocks[0].last) == (5, 5)
    assert replacement_map(source, target)[3:].tolist() == [[0, 0, 0, 0, 0, 1]] * 3
    # Backwards, what only the target still has gets nothing: the source never saw it.
    back = replacement_map(target, source)
    assert _nonzeros(back)[-2:] == [(4, 2, 1.0), (5, 5, 1.0)]
    assert back.sum(0).tolist() == [1, 1, 3, 0, 0, 1]


def test_refinement_that_adds_a_word(of_bike: Reader) -> None:
    source, target = of_bike(ONE, 14), of_bike("a red cat riding a bike", 14)
    token_map, alpha = refinement_map(source, target)
    assert _followed(token_map, alpha) == [0, 1, None, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    official = refinement_map(source, target, "official")
    assert _followed(*official) == [0, 1, None, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]


def test_refinement_that_takes_two_words_away(of_bike: Reader) -> None:
    """Official: padding reads the last word, and the end column is read twice."""
    source, target = of_bike("a red red cat riding", 10), of_bike("a cat riding", 10)
    assert _followed(*refinement_map(source, target)) == [0, 1, 4, 5, 6, 7, 8, 9, 9, 9]
    official = refinement_map(source, target, "official")
    assert _followed(*official) == [0, 1, 4, 5, 6, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("align", ALIGNS)
def test_a_substituted_word_is_not_aligned(of_bike: Reader, align: Align) -> None:
    token_map, alpha = refinement_map(of_bike(ONE, 9), of_bike("a dog riding a bike", 9), align)
    assert _followed(token_map, alpha) == [0, 1, None, 3, 4, 5, 6, 7, 8]


def test_pieces_that_two_words_share_are_no_match(letters: Any) -> None:
    """The words "car" and "cat" have two of three bytes in common; official aligns these."""
    blocks = (TextBlock("clip", (letters,), 16),)
    source, target = tokenize("a car", blocks), tokenize("a cat", blocks)
    assert refinement_map(source, target)[1].tolist() == [1, 1, 0, 0, 0, *[1] * 11]
    assert refinement_map(source, target, "official")[1].tolist() == [1, 1, 1, 1, 0, *[1] * 11]


def test_matches_are_a_longest_common_order(dice: random.Random) -> None:
    for _ in range(300):
        x = [dice.randrange(4) for _ in range(dice.randrange(9))]
        y = [dice.randrange(4) for _ in range(dice.randrange(9))]
        pairs = matches(x, y)
        assert all(x[i] == y[j] for i, j in pairs)
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(pairs))
        assert len(pairs) == _longest(tuple(x), tuple(y))


@cache
def _longest(x: Sequence[int], y: Sequence[int]) -> int:
    if not x or not y:
        return 0
    if x[0] == y[0]:
        return 1 + _longest(x[1:], y[1:])
    return max(_longest(x[1:], y), _longest(x, y[1:]))
