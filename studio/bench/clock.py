"""Times of several calls that take turns, so that a drift of the machine hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import torch

__all__ = ["take_turns"]

FLUSH_BYTES = 256 * 2**20  # more than the L2 cache of any GPU of today

Call = Callable[[], object]


def take_turns(
    calls: Sequence[Call], *, repetitions: int, device: torch.device
) -> list[list[float]]:
    """Milliseconds [call][repetition]. On CUDA by events, with cold caches; calls are warm."""
    if repetitions < 1:
        raise ValueError(f"repetitions: {repetitions} came; expected at least 1")
    once = _cuda_clock(device) if device.type == "cuda" else _cpu_clock
    turns = [[once(call) for call in calls] for _ in range(repetitions)]
    return [list(times) for times in zip(*turns, strict=True)]


def _cpu_clock(call: Call) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3


def _cuda_clock(device: torch.device) -> Callable[[Call], float]:
    flushed = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=device)

    def once(call: Call) -> float:
        flushed.zero_()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(stop)

    return once
