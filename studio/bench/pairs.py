"""How many query-key pairs a mask keeps, counted exactly: the useful work of an attention."""

from __future__ import annotations

from torch import Tensor

from ..window_pairs import window_pairs

__all__ = ["disc_pairs", "labelled_pairs", "useful_flops"]


def disc_pairs(grid: tuple[int, int], text: int, radius: float) -> int:
    """Pairs of one head: text with everything both ways, and dy² + dx² < radius² in the grid."""
    height, width = grid
    return window_pairs(grid, radius) + 2 * text * height * width + text**2


def labelled_pairs(see: Tensor, own: Tensor) -> int:
    """Pairs of one head with see & own ≠ 0; see [N] and own [S] are int32 bits."""
    seeing, queries = see.unique(return_counts=True)
    owning, keys = own.unique(return_counts=True)
    met = (seeing[:, None] & owning[None, :]) != 0
    return int((queries[:, None] * keys[None, :])[met].sum())


def useful_flops(pairs: int, head_dim: int, heads: int, *, backward: bool) -> int:
    """Of two matrix products forward (q·k, p·v) and five backward (with q·k once more)."""
    return (10 if backward else 4) * pairs * head_dim * heads
