"""Low-rank changes of linear layers: few numbers to train, and gone into the weights at the end.

LoRA, Hu et al. 2021 (arXiv:2106.09685):  W' = W + B A,  A [rank, in] random, B [out, rank] zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["add_low_rank", "merge_low_rank"]


class _LowRank(nn.Module):
    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rank, columns, device=weight.device) * rank**-0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).to(weight.dtype)


def add_low_rank(layers: Iterable[nn.Linear], rank: int) -> list[nn.Parameter]:
    """Puts a change, zero at first, on each layer's weight; the numbers to train."""
    made = []
    for layer in layers:
        change = _LowRank(layer.weight, rank)
        parametrize.register_parametrization(layer, "weight", change)
        made += [change.down, change.up]
    return made


def merge_low_rank(layers: Iterable[nn.Linear]) -> None:
    """The changed weights become the layers' own."""
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
