"""How many pairs of image tokens a local window keeps, counted exactly and without tensors."""

from __future__ import annotations

from math import ceil, isqrt

__all__ = ["window_pairs"]


def window_pairs(grid: tuple[int, int], radius: float) -> int:
    """Pairs with dy² + dx² < radius² in a grid (height, width) of tokens, clipped at its borders.

        sum over dy of (height − |dy|) · sum over |dx| <= m of (width − |dx|)

    m = the largest |dx| that the radius leaves at that dy; the inner sum is (2 m + 1) width −
    m (m + 1). Every head and every layer with windows has as many.
    """
    height, width = grid
    seen = min(radius, height + width)  # no two tokens are further apart
    limit = ceil(seen * seen) - 1
    found = 0
    for dy in range(min(height - 1, isqrt(limit)) + 1):
        m = min(width - 1, isqrt(limit - dy * dy))
        found += (1 if dy == 0 else 2) * (height - dy) * ((2 * m + 1) * width - m * (m + 1))
    return found
