"""Global attention sinks: tokens that nearly every place looks at, wherever the thing is.

RefAM, Kukleva et al. 2025 (arXiv:2509.22650) sees them in the deeper blocks: a few tokens get high,
nearly uniform attention from all image and all text tokens. They carry no place, so they are
suppressed.
ours: the test. With R [I, J] one block's attention of the places i on the tokens j, ν its mean over
the text tokens that look, µ_j = mean_i R_ij and q_j = std_i R_ij / µ_j, token j is a sink when

    µ_j > 5 · median(µ)      ν_j > 5 · median(ν)      q_j < 0.5
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["TIMES", "UNEVEN", "find_sinks", "without_sinks"]

TIMES = 5.0
"""ours: a sink gets so many times what a token gets on the median."""
UNEVEN = 0.5
"""ours: and its attention varies by less than this part of its mean from place to place."""


def find_sinks(columns: Tensor, by_text: Tensor | None = None) -> Tensor:
    """[L, J] bool, of columns [L, I, J] and by_text [L, J]; None = text does not look at text."""
    mean = columns.mean(1)
    spread = columns.std(1, unbiased=False)
    found = (mean > TIMES * _median(mean)) & (spread < UNEVEN * mean)
    if by_text is not None:
        found &= by_text > TIMES * _median(by_text)
    return found


def without_sinks(columns: Tensor, sinks: Tensor, content: Tensor) -> Tensor:
    """[L, I, J]: sinks that do not count are 0; of those that do, [J] bool, the even part goes."""
    uneven = columns - columns.amin(1, keepdim=True)
    suppressed = torch.where(content, uneven, torch.zeros_like(columns))
    return torch.where(sinks[:, None], suppressed, columns)


def _median(values: Tensor) -> Tensor:
    """[L, 1]; of an even number the mean of the middle two."""
    return values.double().quantile(0.5, dim=-1, keepdim=True).to(values)
