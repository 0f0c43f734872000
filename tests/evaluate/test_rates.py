"""Rates: Wilson's interval is the set of true rates that the count does not contradict."""

from __future__ import annotations

from math import sqrt

import pytest

from attention_studio.evaluate.rates import Rate, rate_of


@pytest.mark.parametrize(("right", "asked"), [(0, 7), (1, 1), (8, 10), (50, 100), (239, 240)])
def test_the_ends_are_1_96_standard_errors_away(right: int, asked: int) -> None:
    """Wilson's definition: |p - end| = z sqrt(end (1 - end) / n)."""
    rate = Rate(right, asked)
    for end in rate.interval:
        if 0 < end < 1:
            error = sqrt(end * (1 - end) / asked)
            assert abs(right / asked - end) == pytest.approx(1.959964 * error, rel=1e-9)
    assert rate.interval[0] <= right / asked <= rate.interval[1]


def test_nothing_asked_says_nothing() -> None:
    assert rate_of([None, None]) == Rate(0, 0)
    assert Rate(0, 0).value is None
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert Rate(0, 0).text() == "–"


def test_none_was_not_asked() -> None:
    rate = rate_of([True, None, False, True])
    assert rate == Rate(2, 3)
    assert rate.text() == "66.7 % (21–94, n = 3)"
    assert rate.facts()["value"] == 0.6667


def test_more_right_than_asked_is_an_error() -> None:
    with pytest.raises(ValueError, match="right: 3 came; expected 0 to asked = 2"):
        Rate(3, 2)
