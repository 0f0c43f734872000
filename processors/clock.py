"""Knows the step: set by the scheduler's own methods, never by counting attention calls."""

from __future__ import annotations

from math import ceil

from torch import Tensor

from .call import Step

__all__ = ["Clock"]


class Clock:
    """`reset` when timesteps are set, `start` when the loop begins, `advance` after each step."""

    def __init__(self) -> None:
        self._calls = 0  # scheduler steps of the loop; 0 = it has not begun
        self._count = 0
        self._index = 0
        self._call = 0

    @property
    def started(self) -> bool:
        """Whether the loop has begun."""
        return self._calls > 0

    @property
    def first(self) -> bool:
        """Whether the scheduler has not stepped yet."""
        return self._call == 0

    @property
    def last(self) -> bool:
        """Whether the scheduler's next step is the last one."""
        return self._call == self._calls - 1

    def reset(self) -> None:
        """New timesteps: the loop has not begun."""
        self._calls = self._count = self._index = self._call = 0

    def start(self, timesteps: int, order: int = 1) -> None:
        """The loop begins: `timesteps` scheduler steps, `order` of them to a sampler step."""
        if timesteps < 1:
            raise ValueError(f"timesteps: came {timesteps}; expected 1 or more")
        self.reset()
        self._calls, self._count = timesteps, ceil(timesteps / order)

    def place(self, index: int, count: int) -> None:
        """For loops without a scheduler (inversion): step `index` of `count`."""
        if not 0 <= index < count:
            raise ValueError(f"index: came {index}; expected 0 <= index < count = {count}")
        self._calls = self._count = count
        self._index = self._call = index

    def advance(self, *, complete: bool) -> None:
        """The scheduler made a step; `complete` when a sampler step ended with it."""
        self._call += 1
        self._index += complete

    def step(self, t: Tensor | float) -> Step:
        """Now."""
        if not self.started:
            raise ValueError("step: the denoiser was called before the timesteps were set")
        return Step(min(self._index, self._count - 1), self._call, self._count, t)
