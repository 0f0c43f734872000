"""The longest common order of two sequences, by Needleman and Wunsch 1970.

J. Mol. Biol. 48, 443-453, with the weights of Prompt-to-Prompt's code (Hertz et al. 2022,
arXiv:2208.01626): gap 0, match +1, mismatch -1. Two gaps beat a mismatch, so only equals are
paired.

    best[i][j] = max(best[i][j-1], best[i-1][j], best[i-1][j-1] + (1 if x[i-1] == y[j-1] else -1))

i, j count elements of x, y. Ties prefer to leave out an element of y, then of x, then to pair.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["matches"]


def matches(x: Sequence[Hashable], y: Sequence[Hashable]) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j) with x[i] == y[j], both rising."""
    best = [[0] * (len(y) + 1)]
    for of_x in x:
        above = best[-1]
        row = [0]
        for j, of_y in enumerate(y):
            row.append(max(row[j], above[j + 1], above[j] + (1 if of_x == of_y else -1)))
        best.append(row)
    i, j = len(x), len(y)
    pairs: list[tuple[int, int]] = []
    while i and j:
        if best[i][j] == best[i][j - 1]:
            j -= 1
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return tuple(reversed(pairs))
