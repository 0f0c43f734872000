"""Attention between groups: four subjects, a quarter of the picture each, with words of their own.

Every token sees its own subject and the common words; the common words see everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..kernels.labelled import labelled_attention
from .case import Case, Impl
from .contender import Contender
from .dense import masked
from .flex import flex

__all__ = ["flex_labels", "labels", "ours", "reference", "sdpa_masked"]

SUBJECTS = 4
COMMON, EVERYTHING = 1, 2 ** (SUBJECTS + 1) - 1


def labels(case: Case) -> tuple[Tensor, Tensor]:
    """see and own, int32 [N]: a fifth of the words are common, the others the subjects'."""
    height, width = case.grid
    y = torch.arange(height)[:, None] * 2 // height
    x = torch.arange(width)[None, :] * 2 // width
    image = (2 * y + x).flatten()
    words = torch.arange(case.text) * (SUBJECTS + 1) // max(case.text, 1) - 1  # −1: common
    own = 2 ** (torch.cat([words, image]) + 1)
    see = torch.where(own == COMMON, EVERYTHING, own | COMMON)
    return see.int().to(case.device), own.int().to(case.device)


def ours(case: Case, given: Sequence[Tensor]) -> Contender:
    """`labelled_attention` with the implementation of the case."""
    name = f"labelled_attention ({case.kernels})"
    return Contender(name, _attend(case, case.kernels), tuple(given))


def reference(case: Case) -> Callable[..., Tensor]:
    """The oracle, for any precision."""
    return _attend(case, "reference")


def flex_labels(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """The same rule over the same order of tokens."""
    see, own = labels(case)

    def rule(i: Tensor, j: Tensor) -> Tensor:
        return (see[i] & own[j]) != 0

    return [flex("FlexAttention, raster order", case, given, rule)]


def sdpa_masked(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """What a processor does with a mask today."""
    see, own = labels(case)
    return [masked(case, given, lambda: (see[:, None] & own[None, :]) != 0)]


def _attend(case: Case, impl: Impl) -> Callable[..., Tensor]:
    see, own = (x[None] for x in labels(case))
    return partial(labelled_attention, see=see, own=own, impl=impl)
