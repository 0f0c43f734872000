"""Attentions over parts of the keys, merged into the attention over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from . import reference

__all__ = ["merge"]


def merge(outs: Sequence[Tensor], lses: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One attention from those over disjoint sets of keys.

        lse = log sum_p exp(lse_p)          out = sum_p exp(lse_p − lse) out_p

    outs: each [B, H, N, D];  lses: each [B, H, N] fp32, natural log, −inf for a row without keys.
    Returns both for all keys; a row that sees nothing is zero.
    """
    if not outs or len(outs) != len(lses):
        raise ValueError(f"outs, lses: came {len(outs)} and {len(lses)}; expected equally many")
    return reference.merge(outs, lses)
