"""A threshold between the two kinds of values of a map.

Otsu 1979. With w_k the part of the values in the first k bins, m_k the sum of bin centres there,
weighed by those parts, and m the whole one:

    k* = argmax (m w_k − m_k)² / (w_k (1 − w_k))

Differs: IR-Diffusion's released code multiplies the classes' counts by (count − bins), which makes
soft maps cover too much; on maps of two values both agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["above", "otsu"]


def otsu(values: Tensor, bins: int = 256) -> float:
    """The threshold of any tensor; values above it are the upper kind. ValueError for nothing."""
    x = values.detach().double().flatten().cpu()
    if not len(x) or not bool(x.isfinite().all()):
        raise ValueError(f"values: came {list(values.shape)}; expected finite ones, at least one")
    low, high = float(x.min()), float(x.max())
    if low == high:
        return low
    counts = torch.histc(x, bins, low, high)
    width = (high - low) / bins
    centres = low + width * (torch.arange(bins, dtype=torch.float64) + 0.5)
    part = (counts / counts.sum()).cumsum(0)[:-1]
    mass = (counts / counts.sum() * centres).cumsum(0)
    between = (mass[-1] * part - mass[:-1]).square() / (part * (1 - part)).clamp_min(1e-12)
    best = (between >= between.max() * (1 - 1e-9)).nonzero()[:, 0]  # a gap: its middle
    return low + width * (float(best.double().mean()) + 1)


def above(values: Tensor) -> Tensor:
    """bool of its shape: the upper kind. A constant map is all of it, unless it is zero."""
    if bool((values == values.flatten()[0]).all()):
        return values > 0
    return values > otsu(values)
