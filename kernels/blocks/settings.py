"""Tile shapes, warps and pipeline stages of every pass: what is launched and what is checked.

ours: chosen so that nothing spills and shared memory fits, as `make ptx` shows for compute
capability 8.0 (A100) and 9.0 (H100, H200); their speed has yet to be measured. Rows of 128 queries
keep the traffic from the L2 cache low; small key tiles waste less of a small disc. dK and dV fill
half of the registers, hence few queries at a time there. Devices with 99 KiB of shared memory a
block (8.6, 8.9, 12.0) get those of 8.0, which need less.

Three products of tf32 want both halves of the rows a program owns in registers: of 128 channels
these are 128 of a thread's 255, beside the sums, and with the 64 rows of wgmma they spill. On 9.0
fp32 scores beyond 64 channels are therefore summed over pieces of 32, both sides of which are
fetched anew in every step, from the caches; only the sums stay. Pieces of 64 spill a little.
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
    precision: of fp32 products, three of tf32 each; 16-bit ones are exact.
    apart: dK and dV by a launch each, where registers do not hold both.
    piece: channels at a time in which scores of fp32 are summed, from rows fetched in every step;
        0 = all at once, and the rows that a program owns stay in registers.
    """

    own: Shape
    other: Shape
    run: int
    stages: tuple[int, int]
    warps: int
    precision: str = "ieee"
    apart: bool = False
    piece: int = 0

    def launches(self, kind: str) -> tuple[dict[str, object], ...]:
        """The constants in which the launches of a pass differ: for "key", which sums they make."""
        if kind != "key":
            return ({},)
        if self.apart:
            return {"DK": True, "DV": False}, {"DK": False, "DV": True}
        return ({"DK": True, "DV": True},)


TINY, SMALL, HALF, FULL = (2, 8), (4, 8), (8, 8), (8, 16)
TABLE = {  # (arch, head dimension up to, pass), 16 bits
    (90, 64, "forward"): Setting(FULL, FULL, 128, (3, 3), 8),
    (90, 64, "query"): Setting(FULL, HALF, 64, (3, 3), 8),
    (90, 64, "key"): Setting(FULL, HALF, 64, (3, 3), 8),
    (90, 128, "forward"): Setting(FULL, FULL, 128, (3, 3), 8),
    (90, 128, "query"): Setting(FULL, HALF, 64, (3, 3), 8),
    (90, 128, "key"): Setting(FULL, SMALL, 32, (3, 3), 8),
    (90, 256, "forward"): Setting(FULL, SMALL, 32, (3, 3), 8),
    (90, 256, "query"): Setting(FULL, SMALL, 32, (2, 2), 8),
    (90, 256, "key"): Setting(FULL, TINY, 16, (2, 2), 8, apart=True),
    (80, 64, "forward"): Setting(FULL, HALF, 64, (3, 3), 8),
    (80, 64, "query"): Setting(HALF, SMALL, 32, (3, 3), 4),
    (80, 64, "key"): Setting(HALF, SMALL, 32, (3, 3), 4),
    (80, 128, "forward"): Setting(HALF, SMALL, 32, (3, 3), 4),
    (80, 128, "query"): Setting(HALF, HALF, 64, (2, 2), 4),
    (80, 128, "key"): Setting(HALF, SMALL, 32, (3, 3), 8),
    (80, 256, "forward"): Setting(HALF, SMALL, 32, (2, 2), 8),
    (80, 256, "query"): Setting(HALF, TINY, 16, (2, 2), 8),
    (80, 256, "key"): Setting(SMALL, SMALL, 32, (2, 2), 8),
}
WIDE = {  # (arch, head dimension up to, pass), 32 bits
    (90, 64, "forward"): Setting(HALF, SMALL, 32, (2, 2), 4, "tf32x3"),
    (90, 64, "query"): Setting(HALF, SMALL, 32, (2, 2), 8, "tf32x3"),
    (90, 64, "key"): Setting(HALF, TINY, 16, (2, 2), 4, "tf32x3", apart=True),
    (90, 128, "forward"): Setting(HALF, TINY, 16, (2, 2), 4, "tf32x3", piece=32),
    (90, 128, "query"): Setting(HALF, TINY, 16, (2, 2), 4, "tf32x3", piece=32),
    (90, 128, "key"): Setting(HALF, TINY, 16, (2, 2), 4, "tf32x3", apart=True, piece=32),
    (80, 64, "forward"): Setting(SMALL, SMALL, 32, (2, 2), 4, "tf32x3"),
    (80, 64, "query"): Setting(SMALL, SMALL, 32, (2, 2), 4, "tf32x3"),
    (80, 64, "key"): Setting(SMALL, SMALL, 32, (2, 2), 8, "tf32x3"),
    (80, 128, "forward"): Setting(SMALL, TINY, 16, (2, 2), 8, "tf32x3"),
    (80, 128, "query"): Setting(TINY, TINY, 16, (2, 2), 8, "tf32x3"),
    (80, 128, "key"): Setting(TINY, TINY, 16, (2, 2), 8, "tf32x3"),
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
    columns = max(64, block_of(head_dim))
    if item_bytes > 2:
        return WIDE[arch, columns, kind]
    chosen = TABLE[arch, columns, kind]
    return replace(chosen, other=HALF) if near and chosen.other == FULL else chosen
