"""Tile shapes, warps and pipeline stages of every pass: what is launched and what is checked.

ours: chosen so that nothing spills and shared memory fits, as `make ptx` shows for compute
capability 8.0 (A100) and 9.0 (H100, H200); their speed has yet to be measured. Rows of 128 queries
keep the traffic from the L2 cache low; small key tiles waste less of a small disc. dK and dV fill
half of the registers, hence few queries at a time there. Devices with 99 KiB of shared memory a
block (8.6, 8.9, 12.0) get those of 8.0, which need less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .tiles import Shape

__all__ = ["NEAR", "Setting", "arch_of", "block_of", "setting"]

NEAR = 16.0  # radius below which smaller key tiles pay


@dataclass(frozen=True)
class Setting:
    """own:  tile whose rows a program owns.  other: tile of its list.  run: tokens of a range.

    stages: of the software pipeline, over ranges and over lists.
    precision: of fp32 products; 16-bit ones are exact.
    """

    own: Shape
    other: Shape
    run: int
    stages: tuple[int, int]
    warps: int
    precision: str = "ieee"


SMALL, HALF, FULL = (4, 8), (8, 8), (8, 16)
TABLE = {  # (arch, bytes an element, head dimension up to, pass)
    (90, 2, 64, "forward"): Setting(FULL, FULL, 128, (3, 3), 8),
    (90, 2, 64, "query"): Setting(FULL, FULL, 128, (2, 2), 8),
    (90, 2, 64, "key"): Setting(FULL, HALF, 64, (3, 3), 8),
    (90, 2, 128, "forward"): Setting(FULL, FULL, 128, (3, 3), 8),
    (90, 2, 128, "query"): Setting(FULL, HALF, 64, (3, 3), 8),
    (90, 2, 128, "key"): Setting(FULL, SMALL, 32, (3, 3), 8),
    (90, 2, 256, "forward"): Setting(FULL, HALF, 64, (2, 2), 8),
    (90, 2, 256, "query"): Setting(HALF, HALF, 64, (2, 2), 8),
    (90, 2, 256, "key"): Setting(HALF, SMALL, 32, (2, 2), 8),
    (80, 2, 64, "forward"): Setting(FULL, HALF, 64, (3, 3), 8),
    (80, 2, 64, "query"): Setting(FULL, HALF, 64, (2, 2), 8),
    (80, 2, 64, "key"): Setting(FULL, SMALL, 32, (2, 2), 8),
    (80, 2, 128, "forward"): Setting(HALF, SMALL, 32, (3, 3), 4),
    (80, 2, 128, "query"): Setting(HALF, HALF, 64, (2, 2), 4),
    (80, 2, 128, "key"): Setting(HALF, SMALL, 32, (2, 2), 8),
    (80, 2, 256, "forward"): Setting(HALF, SMALL, 32, (2, 2), 8),
    (80, 2, 256, "query"): Setting(HALF, SMALL, 32, (2, 2), 8),
    (80, 2, 256, "key"): Setting(SMALL, SMALL, 32, (2, 2), 8),
}


def block_of(head_dim: int) -> int:
    """Columns that a kernel loads for a head dimension."""
    return max(16, 1 << (head_dim - 1).bit_length())


def arch_of(capability: tuple[int, int]) -> int:
    """90 or 80, whichever shared memory a device has."""
    return 90 if capability[0] in (9, 10) else 80


def setting(kind: str, head_dim: int, item_bytes: int, near: bool, arch: int) -> Setting:
    """kind: "forward", "query" (dQ) or "key" (dK, dV).

    near: radius < NEAR, or bits, whose 128 words a row would not fit beside the rest.
    """
    wide = item_bytes > 2
    if wide:
        return Setting(HALF, SMALL, 32, (2, 2), 4, "tf32x3")
    chosen = TABLE[arch, item_bytes, max(64, block_of(head_dim)), kind]
    return replace(chosen, other=HALF) if near and chosen.other == FULL else chosen
