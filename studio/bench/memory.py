"""How much memory a call needs at its peak, beyond what was there before."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["extra_bytes"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def extra_bytes(call: Callable[[], object], device: torch.device) -> int | None:
    """Calls once. CUDA: of PyTorch's allocator; Linux: resident; None where nothing can tell."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not _forget_peak():
        call()
        return None
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _forget_peak() -> bool:
    """Gives freed memory back, else the call would use it unseen; then resets the peak."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
    except (AttributeError, OSError):
        return False
    return True


def _resident(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"{STATUS} has no {name}"
    return int(found[1]) * 1024
