"""Tile shapes, warps and pipeline stages of every pass: what is launched and what is checked.

ours: chosen so that `ptxas` needs no local memory and shared memory fits, on compute capability
8.0 (163 KiB a block) and 9.0 (227 KiB); the speed on a device has yet to be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from .tiles import Shape

__all__ = ["NEAR", "Setting", "arch_of", "block_of", "setting"]

NEAR = 16.0  # radius below which small key tiles waste less than they cost


@dataclass(frozen=True)
class Setting:
    """own:  tile whose rows a program owns.  other: tile of its list.  run: tokens of a range.

    stages: of the software pipeline over ranges and over lists.
    precision: of fp32 products; 16-bit ones are exact.
    """

    own: Shape
    other: Shape
    run: int
    stages: tuple[int, int]
    warps: int
    precision: str = "ieee"


def block_of(head_dim: int) -> int:
    """Columns that a kernel loads for a head dimension."""
    return max(16, 1 << (head_dim - 1).bit_length())


def arch_of(capability: tuple[int, int]) -> int:
    """90 or 80, whichever shared memory a device has."""
    return 90 if capability[0] in (9, 10) else 80


def setting(kind: str, head_dim: int, item_bytes: int, near: bool, arch: int) -> Setting:
    """kind: "forward", "query" (dQ) or "key" (dK, dV).  near: radius < NEAR."""
    small, large = (8, 8), (8, 16)
    if item_bytes == 4:
        return Setting(small, small, 64, (2, 2), 4)
    if kind == "forward":
        return Setting(large, small if near else large, 128, (2, 2), 8)
    return Setting(large, small, 64, (2, 2), 8)
