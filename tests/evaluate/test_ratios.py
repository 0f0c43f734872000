"""Ratios, means and rank correlation against values worked out by hand."""

from __future__ import annotations

from math import inf

import pytest

from attention_studio.evaluate.ratios import mean_of, ratio_of, spearman


def test_a_ratio_of_paired_answers() -> None:
    ours, theirs = [True] * 60 + [False] * 40, [True] * 20 + [False] * 80
    found = ratio_of(ours, theirs)
    assert found.value == pytest.approx(3.0)
    assert 1.8 < found.low < 2.7 and 3.4 < found.high < 6.0
    assert found == ratio_of(ours, theirs)  # the same draws each time
    same = ratio_of(ours, ours)  # answers go together: no picture tells the two apart
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)


def test_nothing_right_on_one_side_or_on_both() -> None:
    assert ratio_of([True, False], [False, False]).value == inf
    assert ratio_of([True, False], [False, False]).facts()["value"] is None
    assert ratio_of([False, False], [True, True]).value == 0.0
    assert ratio_of([False], [False]).text() == "–"
    assert ratio_of([], []).value is None
    with pytest.raises(ValueError, match="theirs: 1 came; expected as many as ours, 2"):
        ratio_of([True, False], [True])


def test_a_mean_and_its_interval() -> None:
    found = mean_of([0.0, 1.0] * 50)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.4, abs=0.03) and found.high == pytest.approx(0.6, abs=0.03)
    assert mean_of([]).value is None and mean_of([2.0]).text() == "2.00 (2.00–2.00)"


def test_rank_correlation() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 25, 1000]) == pytest.approx(1.0)
    assert spearman([1, 2, 3, 4], [4, 3, 2, -9]) == pytest.approx(-1.0)
    # no ties: 1 - 6 sum d^2 / n (n^2 - 1), d = 0, 1, 1, 0
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / 60)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert spearman([1, 2, 3, 4], [0, 5, 5, 9]) == pytest.approx(4.5 / (5 * 4.5) ** 0.5)
    assert spearman([1, 2, 3], [7, 7, 7]) is None
    with pytest.raises(ValueError, match="y: 2 values came; expected as many as x, 3"):
        spearman([1, 2, 3], [1, 2])
