"""How much two maps overlap, as A-STAR measures it, and as Jaccard did.

A-STAR, Agarwal et al. 2023 (arXiv:2306.14544), over the pixels p of maps a, b >= 0:

    paper    r = sum min(a, b) / (sum a + sum b)    1/2 for equal maps, 0 for maps apart
    jaccard  J = sum min(a, b) / sum max(a, b)      1 and 0;  J = r / (1 − r)   (ours)
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

__all__ = ["Form", "overlap"]

Form: TypeAlias = Literal["paper", "jaccard"]

_TINY = 1e-8


def overlap(a: Tensor, b: Tensor, form: Form = "paper") -> Tensor:
    """[...] of [..., h, w] each; two empty maps do not overlap."""
    if form not in ("paper", "jaccard"):
        raise ValueError(f"overlap: came {form!r}; expected 'paper' or 'jaccard'")
    both = torch.minimum(a, b).flatten(-2).sum(-1)
    either = a + b if form == "paper" else torch.maximum(a, b)
    return both / either.flatten(-2).sum(-1).clamp_min(_TINY)
