"""The most memory that was held at once while something ran."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Peak"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Counts from its making on; one at a time in a process, whose counter it is.

    On CUDA the tensors of the device; elsewhere the whole resident process, its libraries and
    what the allocator keeps included, which only Linux can count anew.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._counts = True
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            _RESET.write_text("5")  # the largest resident set is the present one again
        except OSError:
            self._counts = False

    def held(self) -> int | None:
        """The most so far, weights included; None where that cannot be known."""
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        try:
            lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
            found = next(int(ln.split()[1]) for ln in lines if ln.startswith("VmHWM:"))
        except (OSError, ValueError, IndexError, StopIteration):
            return None
        return found * 1024 if self._counts else None
