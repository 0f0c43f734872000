"""Shares of counts, how methods change them on the same pictures, and rank correlation.

The interval is the percentile bootstrap (Efron 1979, "Bootstrap methods: another look at the
jackknife", Annals of Statistics 7): pictures are drawn anew with replacement, both methods' answers
of a picture together, and the middle 95 % of the ratios are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counts", "Interval95", "change_of", "mean_of", "ratio_of", "share_of", "spearman"]

_DRAWS = 4000

Counts = Sequence[tuple[float, float]]
"""For each prompt how many, or how much, of how many."""


@dataclass(frozen=True)
class Interval95:
    """A figure and its 95 % interval; `value` is None when it is not defined."""

    value: float | None
    low: float
    high: float

    def text(self) -> str:
        """`3.20 (2.41–4.60)`."""
        if self.value is None:
            return "–"
        return f"{self.value:.2f} ({self.low:.2f}–{self.high:.2f})"

    def facts(self) -> dict[str, float | None]:
        """For JSON, which knows no infinity; four digits."""
        found = {"value": self.value, "low": self.low, "high": self.high}
        return {k: round(v, 4) if v is not None and isfinite(v) else None for k, v in found.items()}


def ratio_of(ours: Sequence[bool], theirs: Sequence[bool]) -> Interval95:
    """sum(ours) / sum(theirs), infinite when theirs is 0 and ours is not."""
    if len(ours) != len(theirs):
        raise ValueError(f"theirs: {len(theirs)} came; expected as many as ours, {len(ours)}")
    pairs = np.array([ours, theirs], float)
    if not pairs.any():
        return Interval95(None, 0.0, inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = _resampled(pairs)
        ratios = np.where(sums[0] + sums[1] > 0, sums[0] / sums[1], np.nan)
        value = float(pairs[0].sum() / pairs[1].sum())
    low, high = _middle(ratios)
    return Interval95(value, low, high)


def mean_of(values: Sequence[float]) -> Interval95:
    """The mean and its bootstrap interval."""
    if not values:
        return Interval95(None, -inf, inf)
    means = _resampled(np.array([values], float))[0] / len(values)
    low, high = _middle(means)
    return Interval95(float(np.mean(values)), low, high)


def share_of(counts: Counts) -> Interval95:
    """sum of the first / sum of the second; None when nothing was counted."""
    value, drawn = _shares(counts)
    return _interval(value, drawn, 0.0, 1.0)


def change_of(ours: Counts, theirs: Counts) -> Interval95:
    """The share of ours relative to that of theirs, less 1; None when theirs is 0."""
    (a, drawn_a), (b, drawn_b) = _shares(ours), _shares(theirs)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.where(drawn_b > 0, drawn_a / drawn_b - 1, np.nan)
        value = a / b - 1 if b > 0 else np.nan
    return _interval(float(value), drawn, -1.0, inf)


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks, equal values sharing their mean rank.

    Spearman 1904, "The proof and measurement of association between two things", American Journal
    of Psychology 15. None when x or y is the same throughout.
    """
    if len(x) != len(y):
        raise ValueError(f"y: {len(y)} values came; expected as many as x, {len(x)}")
    a, b = (_ranks(np.asarray(values, float)) for values in (x, y))
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread else None


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[group]
    return ranks


def _shares(counts: Counts) -> tuple[float, NDArray[np.float64]]:
    """The share, and the shares of the same draws of prompts for every method; nan where none."""
    rows = np.array(counts, float).reshape(-1, 2).T
    with np.errstate(divide="ignore", invalid="ignore"):
        sums, whole = _resampled(rows), rows.sum(1)
        drawn: NDArray[np.float64] = sums[0] / sums[1]
        return float(whole[0] / whole[1]), drawn


def _interval(value: float, drawn: NDArray[np.float64], least: float, most: float) -> Interval95:
    drawn = drawn[np.isfinite(drawn)]
    if np.isnan(value) or not len(drawn):
        return Interval95(None, least, most)
    return Interval95(value, *_middle(drawn))


def _resampled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of each row over the same draws, [rows, draws]."""
    n = rows.shape[1]
    chosen = np.random.default_rng(0).integers(n, size=(_DRAWS, n))
    sums: NDArray[np.float64] = rows[:, chosen].sum(-1)
    return sums


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    known = np.sort(values[~np.isnan(values)])
    low, high = int(0.025 * len(known)), int(0.975 * len(known))
    return float(known[low]), float(known[min(high, len(known) - 1)])
