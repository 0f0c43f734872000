"""How often something was right, with the interval in which the true rate lies.

Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22:
with p = right / asked, n = asked and z = 1.96 the 95 % interval is
(p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

__all__ = ["Rate", "rate_of"]

_Z = 1.959964


@dataclass(frozen=True)
class Rate:
    """`right` answers out of `asked`."""

    right: int
    asked: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.asked:
            raise ValueError(f"right: {self.right} came; expected 0 to asked = {self.asked}")

    @property
    def value(self) -> float | None:
        """The fraction; None when nothing was asked."""
        return self.right / self.asked if self.asked else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval; all of [0, 1] when nothing was asked."""
        if not self.asked:
            return (0.0, 1.0)
        n, p, z2 = self.asked, self.right / self.asked, _Z * _Z
        centre, half = p + z2 / (2 * n), _Z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return (
            max((centre - half) / (1 + z2 / n), 0.0),
            min((centre + half) / (1 + z2 / n), 1.0),
        )

    def text(self) -> str:
        """`83 % (74–90, n = 80)`."""
        if not self.asked:
            return "–"
        low, high = self.interval
        percent = 100 * self.right / self.asked
        return f"{percent:.1f} % ({100 * low:.0f}–{100 * high:.0f}, n = {self.asked})"

    def facts(self) -> dict[str, float | int | None]:
        """For JSON; four digits."""
        low, high = self.interval
        value = None if self.value is None else round(self.value, 4)
        return {
            "right": self.right,
            "asked": self.asked,
            "value": value,
            "low": round(low, 4),
            "high": round(high, 4),
        }


def rate_of(answers: Iterable[bool | None]) -> Rate:
    """The rate of True among the answers; None means that it was not asked."""
    asked = [answer for answer in answers if answer is not None]
    return Rate(sum(asked), len(asked))
