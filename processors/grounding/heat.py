"""From the attention on each token to one map: shares of the tokens, and those that count added up.

RefAM, Kukleva et al. 2025 (arXiv:2509.22650): tokens compete for each place by a softmax over the
tokens, stop words and magnets are dropped, the rest is summed. With R [I, J] the mean over blocks,

    P_ij = R_ij / Σ_j' R_ij'  in joint attention        P = R  in cross-attention
    H_i = Σ_{j counts} P_ij

ours: shares by division in joint attention, where images take part in the softmax. Cross-attention
is itself a softmax over the tokens, with start and end tokens as its magnets: to divide once more
would lose how little a place looks at any word. Where no token is dropped shares would be 1
everywhere, so R is summed as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..call import Grid

__all__ = ["heat_of", "leaning", "shares"]


def shares(columns: Tensor, content: Tensor, *, joint: bool) -> Tensor:
    """P [I, J] of columns [L, I, J] and content [J] bool, the tokens that count."""
    mean = columns.mean(0)
    if not joint or bool(content.all()):
        return mean
    total = mean.sum(-1, keepdim=True)
    return torch.where(total > 0, mean / total, torch.zeros_like(mean))


def heat_of(part: Tensor, counts: Tensor) -> Tensor:
    """H [I], of shares [I, J] and counts [J] bool, the tokens that are added up."""
    return part[:, counts].sum(-1)


def leaning(grid: Grid, sides: Sequence[str], strength: float) -> Tensor:
    """[h, w] factors: 1 + strength · ramp, the ramp from 0 to 1 towards each named side.

    ours. "middle" is 1 in the middle and 0 at the rim.
    """
    height, width = grid
    y, x = (torch.linspace(0, 1, n) if n > 1 else torch.full((1,), 0.5) for n in (height, width))
    y, x = y[:, None].expand(grid), x[None].expand(grid)
    middle = 1 - 2 * torch.maximum((x - 0.5).abs(), (y - 0.5).abs())
    ramps = {"left": 1 - x, "right": x, "top": 1 - y, "bottom": y, "middle": middle}
    factor = torch.ones(grid)
    for side in sides:
        factor = factor * (1 + strength * ramps[side])
    return factor
