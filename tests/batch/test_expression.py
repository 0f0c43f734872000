"""Filters: what they mean, what they refuse, and that nothing in them is executed."""

from __future__ import annotations

from typing import Any

import pytest

from attention_studio.batch.expression import read_expression

FIGURES: dict[str, Any] = {
    "psnr_outside": 30.0,
    "changed_inside": 12.5,
    "changed_outside": 2.0,
    "effect": "visible",
    "nouns_ok": True,
    "source_nouns_ok": False,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("psnr_outside>=28", True),
        ("psnr_outside > 30", False),
        ("28 < psnr_outside <= 30", True),
        ("28 < psnr_outside < 29", False),
        ("effect == 'visible' and nouns_ok", True),
        ('effect != "none" and not source_nouns_ok', True),
        ("source_nouns_ok or changed_inside > 10", True),
        ("nouns_ok and (source_nouns_ok or psnr_outside > 40)", False),
        ("changed_inside - 2 * changed_outside", 8.5),
        ("-changed_outside + 3", 1.0),
        ("changed_inside / changed_outside > 6", True),
        ("1 / 0 > 1", False),
        ("2 + 3 * 4 == 14", True),
        ("(2 + 3) * 4 == 20", True),
        ("nouns_ok == true", True),
        ("not not nouns_ok", True),
        ("map_shift > 0", False),
        ("map_shift <= 0", False),
        ("map_shift + 1 > 0", False),
        (".5e1 == 5", True),
    ],
)
def test_values(text: str, value: object) -> None:
    assert read_expression(text, "filter")(FIGURES) == value


def test_nothing_changed_outside_is_infinitely_good() -> None:
    good = read_expression("psnr_outside >= 28", "filter")
    assert good({"changed_outside": 0.0}) is True
    assert good({"changed_outside": None}) is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its end"),
        ("psnr >= 28", "there is no figure 'psnr'; figures: changed_inside"),
        ("psnr_outside >=", "its end"),
        ("psnr_outside 28", "'28' came where it should end"),
        ("(psnr_outside", "a bracket is not closed"),
        ("psnr_outside = 28", "'= 28' is not understood"),
        ("effect > 3", "cannot be compared"),
        ("effect + 1", "no number to calculate with"),
        ("__import__('os')", "there is no figure '__import__'"),
        ("effect('os')", "came where it should end"),
        ("psnr_outside.real", "'.real' is not understood"),
        ("[1]", "'[1]' is not understood"),
        ("lambda: 1", "is not understood"),
        ("9**9**9", "came where a figure or number should stand"),
        ("(" * 40 + "1" + ")" * 40, "nested more than 32 deep"),
        ("not " * 40 + "nouns_ok", "nested more than 32 deep"),
        ("-" * 40 + "1", "nested more than 32 deep"),
        ("1 + " * 400 + "1", "it has 1601 characters"),
    ],
)
def test_what_is_no_expression(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^filter: ") as error:
        read_expression(text, "filter")
    assert said in str(error.value)
