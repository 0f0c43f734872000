"""Which steps an interval means, for long and for very short runs."""

from __future__ import annotations

import pytest

from attention_studio.processors import Interval

from .calls import a_step


def steps(interval: Interval, count: int) -> list[int]:
    return [i for i in range(count) if interval.active(a_step(i, count))]


@pytest.mark.parametrize(
    ("end", "first"), [(0.0, 0), (0.2, 10), (0.4, 20), (0.5, 25), (0.8, 40), (1.0, 50)]
)
def test_fifty_steps_are_those_of_the_paper_s_code(end: float, first: int) -> None:
    assert steps(Interval(0.0, end), 50) == list(range(first))
    assert steps(Interval(end, 1.0), 50) == list(range(first, 50))


@pytest.mark.parametrize(
    ("start", "end", "count", "wanted"),
    [
        (0.0, 0.4, 1, [0]),
        (0.0, 0.8, 1, [0]),
        (0.2, 1.0, 1, [0]),  # too short to hold the beginning of a step: acts in the one it lies in
        (0.0, 0.4, 2, [0]),
        (0.6, 0.9, 2, [1]),
        (0.0, 0.8, 4, [0, 1, 2, 3]),
        (0.3, 0.4, 4, [1]),
        (0.5, 0.5, 4, []),
        (0.0, 0.0, 1, []),
        (0.29, 1.0, 100, list(range(29, 100))),
    ],
)
def test_few_steps(start: float, end: float, count: int, wanted: list[int]) -> None:
    assert steps(Interval(start, end), count) == wanted


@pytest.mark.parametrize("bounds", [(-0.1, 1.0), (0.5, 0.4), (0.0, 1.1)])
def test_bounds_are_checked(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="interval: came"):
        Interval(*bounds)
