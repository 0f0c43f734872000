"""Per-word gates: for each target token the part of the denoising in which an edit holds.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2 and the authors' code: a word
may be released earlier than the rest, as in {"lion": (0.0, 0.4)}.

    gate[s, n] = 1 where start[n] <= s / S < end[n], else 0

s counts sampler steps from 0, S of them; n positions of the target's text axis. official: steps
int(start * (S + 1)) to int(end * (S + 1)), end excluded; the two differ by at most one step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .align import Align
from .tokens import TokenizedText

__all__ = ["gate_bounds", "gate_table"]


def gate_bounds(
    target: TokenizedText,
    words: Mapping[str, tuple[float, float]],
    default: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """`[2, N]` float64: start and end, as fractions of the denoising, for each target token.

    words:   intervals of words of the target prompt; where words share tokens the later one wins.
    default: interval of all other tokens, start, end and padding tokens too (the paper's code
             calls it "default_").

    float64, because a step's progress is compared with an end such as 0.8 for equality.
    """
    bounds = torch.empty(2, target.length, dtype=torch.float64)
    bounds[:] = _column("default", default)
    for word, interval in words.items():
        bounds[:, list(target.find(word).indices)] = _column(f"words[{word!r}]", interval)
    return bounds


def gate_table(bounds: Tensor, count: int, align: Align = "exact") -> Tensor:
    """`[S, N]` float32 of zeros and ones for `count` = S sampler steps."""
    if count < 1:
        raise ValueError(f"count: expected at least 1 sampler step, got {count}")
    steps = torch.arange(count, dtype=torch.float64)[:, None]
    start, end = bounds.double()
    if align == "official":
        start, end = (start * (count + 1)).floor(), (end * (count + 1)).floor()
    elif align == "exact":
        steps = steps / count
    else:
        raise ValueError(f"align: expected 'exact' or 'official', got {align!r}")
    return ((start <= steps) & (steps < end)).float()


def _column(argument: str, interval: tuple[float, float]) -> Tensor:
    start, end = interval
    if not 0 <= start <= end <= 1:
        raise ValueError(f"{argument}: expected 0 <= start <= end <= 1, got {tuple(interval)}")
    return torch.tensor([[start], [end]], dtype=torch.float64)
