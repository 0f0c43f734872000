"""A part of the denoising, as fractions of the steps that are really made."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from .call import Step

__all__ = ["Interval"]


@dataclass(frozen=True)
class Interval:
    """The steps whose progress p = index / count lies in [start, end).

    With 50 steps these are the steps of the Prompt-to-Prompt code (Hertz et al. 2022,
    arXiv:2208.01626): 0.8 gives the first 40, 0.4 the first 20.
    ours: an interval that is not empty but too short to hold the beginning of a step acts in the
    step it lies in, so that models of 1 to 4 steps are steered too.
    """

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.end <= 1.0:
            raise ValueError(
                f"interval: came ({self.start}, {self.end}); expected 0 <= start <= end <= 1"
            )

    @property
    def empty(self) -> bool:
        """Whether it never acts."""
        return self.start == self.end

    def active(self, step: Step) -> bool:
        """Whether it acts in this step."""
        if self.start <= step.progress < self.end:
            return True
        first = ceil(self.start * step.count)  # the first step that begins at `start` or later
        return not self.empty and first / step.count >= self.end and first - 1 == step.index

    def gate(self, step: Step) -> float:
        """1 where it acts, else 0."""
        return float(self.active(step))
