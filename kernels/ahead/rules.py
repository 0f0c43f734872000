"""What a kernel that ships must keep: no spills, tensor cores, wide asynchronous copies."""

from __future__ import annotations

from .figures import Figures
from .specialization import Specialization

__all__ = ["growth", "violations"]

# What a block may ask for (CUDA programming guide). Devices 8.6, 8.9 and 12.0 get the settings of
# 8.0 and have 99 KiB of its 163.
SHARED_BYTES = {80: 99 * 1024, 90: 227 * 1024}
TENSOR_CORE = {80: "mma", 90: "wgmma"}
ALLOWED_GROWTH = 1.10


def violations(spec: Specialization, found: Figures) -> list[str]:
    """One sentence a broken rule, none when all hold."""
    broken = []
    limit = SHARED_BYTES[found.arch]
    if found.stack_bytes or found.spill_bytes:
        broken.append(
            f"{found.stack_bytes} bytes of stack and {found.spill_bytes} bytes spilled, expected 0"
        )
    if found.registers > 255:
        broken.append(f"{found.registers} registers a thread, expected at most 255")
    if found.shared_bytes > limit:
        broken.append(f"{found.shared_bytes} bytes of shared memory, expected at most {limit}")
    if spec.attention:
        wanted = TENSOR_CORE[found.arch]
        if found.tensor_core != wanted:
            broken.append(f"tensor cores by {found.tensor_core}, expected {wanted}")
        if found.serialized:
            broken.append(f"wgmma one at a time, expected a pipeline: {found.serialized}")
        if not found.async_copies:
            broken.append("no asynchronous copy to shared memory, expected some")
        if found.tiny_loads:
            broken.append(f"{found.tiny_loads} loads of 1 or 2 bytes, expected none")
        if found.narrow_bytes > 16 * found.wide_loads:  # numbers a row and of tiles are narrow
            broken.append(
                f"{found.narrow_bytes} bytes in narrow loads and {found.wide_loads} loads of 16 "
                f"bytes, expected most in wide ones"
            )
    return [_line(found, what) for what in broken]


def growth(found: Figures, committed: Figures | None) -> list[str]:
    """Whether registers or shared memory grew by more than a tenth against committed figures."""
    if committed is None:
        return [_line(found, "no committed figures to compare with, expected a row")]
    return [
        _line(found, f"{before} {unit} became {now}, expected at most a tenth more")
        for unit, before, now in (
            ("registers", committed.registers, found.registers),
            ("bytes of shared memory", committed.shared_bytes, found.shared_bytes),
        )
        if now > before * ALLOWED_GROWTH
    ]


def _line(found: Figures, what: str) -> str:
    return f"{found.name}, sm_{found.arch}: {what}"
