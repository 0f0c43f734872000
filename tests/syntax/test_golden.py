"""Forty prompts and what they say, for a run of ten steps.

Most are of AUTOMATIC1111's and compel's documentation and tests, with what those say they mean;
where this project reads one differently the row says so.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from attention_studio.syntax import Swap, parse

P2P = {"words": (0.0, 0.8), "layout": (0.0, 0.4)}


class Case(NamedTuple):
    """text: what the encoder sees; weights: of its phrases; schedule: step and text; edit: text."""

    text: str
    weights: tuple[tuple[str, float], ...] = ()
    swaps: tuple[Swap, ...] = ()
    schedule: tuple[tuple[int, str], ...] = ()
    edit: str | None = None


CASES: dict[str, Case] = {
    # Weights of the web UI.
    "normal text": Case("normal text"),
    "": Case(""),
    "an (important) word": Case("an important word", (("important", 1.1),)),
    "a ((word))": Case("a word", (("word", 1.21),)),
    "a [word]": Case("a word", (("word", 0.909091),)),
    "a [[word]]": Case("a word", (("word", 0.826446),)),
    "a (word:1.5)": Case("a word", (("word", 1.5),)),
    "a (word: .25 )": Case("a word", (("word", 0.25),)),
    "a (word:-1)": Case("a word", (("word", -1.0),)),
    "(unnecessary)(parens)": Case("unnecessaryparens", (("unnecessaryparens", 1.1),)),
    "((a cat:1.2), [(red) hat])": Case(
        "a cat, red hat",
        (("a cat", 1.32), (", red", 1.1)),  # 1.1 for the comma, 1.1 · 1.1 / 1.1 for "red"
    ),
    r"anime \(character\) \[1\]": Case("anime (character) [1]"),
    r"C:\temp \\ \n": Case("C:\\temp \\ \\n"),  # the web UI drops lone backslashes
    "(a:b:1.3)": Case("a:b", (("a:b", 1.3),)),
    "(a:1.2.3)": Case("a:1.2.3", (("a:1.2.3", 1.1),)),  # no number, so text
    "(same:1) word": Case("same word"),
    # Brackets without a partner: text here and in compel; the web UI weighs all that follows.
    "a [unbalanced": Case("a [unbalanced"),
    "a :( b) c": Case("a : b c", (("b", 1.1),)),
    "sad :(": Case("sad :("),
    "((a][:b:c [d:3]": Case("((a][:b:c ", schedule=((3, "((a][:b:c d"),)),
    # Prompt scheduling.
    "a [b:3]": Case("a ", schedule=((3, "a b"),)),
    "a [b: 3]": Case("a ", schedule=((3, "a b"),)),
    "a [b:.5] c": Case("a  c", schedule=((5, "a b c"),)),
    "a [b:0.29] c": Case("a  c", schedule=((2, "a b c"),)),  # rounded down to a step
    "a [b : c : 1] d": Case("a b  d", schedule=((1, "a  c  d"),)),
    "a [b::4] c": Case("a b c", schedule=((4, "a  c"),)),
    "a[b:[c:d:2]:1]e": Case("abe", schedule=((1, "ace"), (2, "ade"))),
    "a [[[b]]:2]": Case("a ", schedule=((2, "a b"),)),
    "[b:c:0]": Case("c"),
    "[b:c:1.0]": Case("b"),  # with a point a part of the run: never
    "[b:c:99]": Case("b"),
    "[a:b:c:0.5]": Case("a:b:c:0.5", (("a:b:c:0.5", 0.909091),)),
    "[fe|]male": Case(
        "female", schedule=tuple((i, "male" if i % 2 else "female") for i in range(1, 10))
    ),
    # compel's weights.
    "hot-dog+ and well-known flames--": Case(
        "hot-dog and well-known flames", (("hot-dog", 1.1), ("flames", 0.81))
    ),
    'a (tall (man)1.3)1.1 "too"+': Case(
        "a tall man too", (("tall", 1.1), ("man", 1.43), ("too", 1.1))
    ),
    "half - and (semi)-automatic, (c)2024": Case(
        "half - and semi-automatic, c2024", (("semi", 1.1), ("c", 1.1))
    ),
    # compel's .swap().
    "a cat.swap(dog) on grass": Case(
        "a cat on grass", (), (Swap("cat", "dog", **P2P),), edit="a dog on grass"
    ),
    'a ("fluffy, grey cat").swap("big, barking dog", s_start=0.1, s_end=.9, t_start=0.2) sat': Case(
        "a fluffy, grey cat sat",
        (),
        (Swap("fluffy, grey cat", "big, barking dog", (0.2, 1.0), (0.1, 0.9)),),
        edit="a big, barking dog sat",
    ),
    'a forest "".swap(in winter, shape_freedom=1)': Case(
        "a forest ",
        (),
        (Swap("", "in winter", (0.0, 0.8), (0.0, 0.0)),),
        edit="a forest in winter",
    ),
    "a (riding a bike.swap(horse+))++": Case(
        "a riding a bike",
        (("riding a bike", 1.21),),
        (Swap("bike", "horse", **P2P),),
        edit="a riding a horse",
    ),
    "a [cat.swap(dog):bird:5] [sat]": Case(
        "a cat sat",
        (("sat", 0.909091),),
        (Swap("cat", "dog", **P2P),),
        ((5, "a bird sat"),),
        "a dog sat",
    ),
    '("a", "b").blend(1, 0.8)': Case('("a", "b").blend(1, 0.8)'),
}


def test_there_are_forty() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("prompt", CASES)
def test_what_a_prompt_says(prompt: str) -> None:
    wanted, found = CASES[prompt], parse(prompt, steps=10)
    assert found.text == wanted.text
    assert tuple((w.phrase, w.weight) for w in found.weights) == wanted.weights
    assert found.swaps == wanted.swaps
    assert tuple((round(s.start * 10), s.text) for s in found.schedule) == wanted.schedule
    assert (found.edit[0].text if found.edit else None) == wanted.edit
    for weight in found.weights:
        assert found.text[slice(*weight.span)] == weight.phrase
