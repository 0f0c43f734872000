"""Random choices that depend on what they are for, and on nothing that was drawn before."""

from __future__ import annotations

from collections.abc import Hashable
from zlib import crc32

import torch
from torch import Tensor

__all__ = ["drawn"]


def drawn(what: Hashable, count: int, probability: float) -> Tensor:
    """[count] bool, each True with that probability; the same for the same `what`, always.

    No generator of the caller or of torch is used up.
    """
    if probability >= 1:
        return torch.ones(count, dtype=torch.bool)
    draw = torch.Generator().manual_seed(crc32(repr(what).encode()))
    return torch.rand(count, generator=draw) < probability
