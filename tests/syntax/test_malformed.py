"""Whatever is malformed is text, with a warning; nothing crashes, recurses or takes long."""

from __future__ import annotations

import gc
import random
import re
from collections.abc import Callable
from time import process_time

import pytest

from attention_studio.syntax import Parsed, apply_syntax, parse

N = 10_000
HOSTILE: dict[str, Callable[[int], str]] = {
    "openings": lambda n: "(" * n,
    "closings": lambda n: ")" * n,
    "both in turn": lambda n: "()" * n,
    "deep round": lambda n: "(" * n + "a" + ")" * n,
    "deep square": lambda n: "[" * n + "a" + "]" * n,
    "crossed": lambda n: "([" * n + ")]" * n,
    "deep with numbers": lambda n: "(" * n + "a" + ":1.1)" * n,
    "deep schedules": lambda n: "[a:" * n + "b" + ":5]" * n,
    "schedules": lambda n: "[a:b:0.5]" * (n // 4),
    "many bars": lambda n: "[" + "|" * n + "]",
    "colons": lambda n: "[" + ":" * n + ":5]",
    "deep colons": lambda n: "(:" * n + ")" * n,
    "marks": lambda n: "a" + "+" * n,
    "marks in turn": lambda n: "a" + "+-" * n,
    "words and marks": lambda n: "a+-" * n,
    "quotes": lambda n: '"' * n,
    "quoted weights": lambda n: '"a"+' * (n // 2),
    "backslashes": lambda n: "\\" * n,
    "escapes": lambda n: r"\(" * n,
    "swaps": lambda n: "a.swap(" * (n // 4) + ")" * (n // 4),
    "swaps in a row": lambda n: "a.swap(b) " * (n // 4),
    "options": lambda n: "a.swap(b" + ", s_start=1" * (n // 4) + ")",
    "no options": lambda n: "a.swap(b" + ",x=" * (n // 4) + "(y))",
    "digits": lambda n: "(a:" + "9" * n + ")",
    "points": lambda n: "(a)" + "." * n + "1",
    "blanks": lambda n: " " * n + "+" + " " * n,
    "dots": lambda n: ".swap" * n,
}


def _read(name: str, n: int) -> tuple[float, Parsed]:
    """The seconds that reading takes, and what was read.

    Nothing is collected meanwhile: the garbage is that of all tests before, and one pass over it
    takes longer than the reading.
    """
    prompt = HOSTILE[name](n)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = process_time()
        parsed = parse(prompt, steps=10)
        return process_time() - start, parsed
    finally:
        if collecting:
            gc.enable()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_prompts_are_read_in_linear_time(name: str) -> None:
    """Four times the prompt takes about four times the time; quadratic would be sixteen."""
    short = min(_read(name, N // 4)[0] for _ in range(2))
    long, parsed = min((_read(name, N) for _ in range(3)), key=lambda read: read[0])
    assert long < 8 * short + 0.2
    assert long < 5
    assert len(parsed.warnings) < 12
    assert all(abs(w.weight) <= 100 for w in parsed.weights)


@pytest.mark.parametrize("name", ["deep round", "both in turn", "schedules", "swaps in a row"])
def test_hostile_prompts_become_recipe_parts(name: str) -> None:
    expanded = apply_syntax([HOSTILE[name](N // 2)], steps=10)
    assert len(expanded.controls) < 32


def test_no_word_is_ever_lost() -> None:
    """Any mixture of signs and words keeps its words, in some text of the run, or says so."""
    draw = random.Random(7)
    signs = ["(", ")", "[", "]", ":", "|", '"', "+", "-", "\\", ",", " ", ".", "=", ":1.3)", ":3]"]
    for _ in range(600):
        words = [f"w{i}w" for i in range(6)]
        text = "".join(word + "".join(draw.choices(signs, k=4)) for word in words)
        parsed = parse(text, steps=10)
        seen = " ".join(stage.text for stage in (*parsed.stages, *parsed.edit))
        for word in words:
            assert word in seen or any("no step reads" in w for w in parsed.warnings), text


def test_literal_signs_survive_when_nothing_is_syntax() -> None:
    for text in (
        "a man's 50% : half-done, e.g. this; & that = x / y * {z} <w> #1 @home ~ ^ `q` ?!",
        "猫 在 雪 — “quoted” … 🐈‍⬛",
        "a - b -- c + d",
        'it says "open" and "shut"',
    ):
        parsed = parse(text, steps=10)
        assert (parsed.text, parsed.weights, parsed.warnings) == (text, (), ())


@pytest.mark.parametrize(
    ("prompt", "text", "warning"),
    [
        ("a (b", "a (b", r"'\(' at character 3 has no partner: text"),
        ("a) ]b(", "a) ]b(", "has no partner, nor have 2 more brackets"),
        (".swap(dog)", ".swap(dog)", "has no word, quotation or"),
        ("a cat .swap(dog)", "a cat .swap(dog)", "has no word, quotation or"),
        ("cat.swap(dog", "cat.swap(dog", "has no partner"),
        ("(cat).attend(1.3)", "(cat).attend(1.3)", r"\.attend\(\) is not carried out"),
        ("cat.swap(dog.swap(owl))", "cat", "the inner one is text"),
        ("cat.swap(dog, t_start=soon)", "cat", "expected a number from 0 to 1; left out"),
        ("cat.swap(dog, t_begin=0.1)", "cat", "no option 't_begin'; it has s_start"),
        ("cat.swap(dog, s_start=20)", "cat", "expected 0 to 1, a part of the run; 1 taken"),
        ("cat.swap(dog, t_start=.9, t_end=.1)", "cat", "ends before it begins"),
        ("[a:b:1.0]", "a", "the change never comes; the number is a part of the run"),
        ("[a:b:11]", "a", "the change never comes; the number is a step of 10"),
        ("[a:b:c:3]", "a:b:c:3", r"is not of the form \[from:to:when\]"),
        ("(a:1" + "0" * 20 + ")", "a", "the weight of 'a' is kept at 100"),
    ],
)
def test_what_is_malformed_is_said(prompt: str, text: str, warning: str) -> None:
    parsed = parse(prompt, steps=10)
    assert parsed.text == text
    assert any(re.search(warning, said) for said in parsed.warnings), parsed.warnings


def test_many_warnings_are_counted() -> None:
    said = parse("".join(f"[a:b:1{i}] " for i in range(20)), steps=10).warnings
    assert len(said) == 10 and said[8] == "… and 12 more like these"


def test_a_run_has_steps() -> None:
    with pytest.raises(ValueError, match="steps: came 0; expected 1 or more"):
        parse("a", steps=0)
    assert parse("[a:b:0.5] [c|d]", steps=1).schedule == ()
