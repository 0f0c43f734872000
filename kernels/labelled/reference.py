"""Labelled attention by a dense mask: what every faster path is held against."""

from __future__ import annotations

from torch import Tensor

from ..disc.layout import DiscLayout
from ..disc.reference import visible
from ..rows import reference

__all__ = ["backward", "forward"]


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    see: Tensor,
    own: Tensor,
    disc: DiscLayout | None,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, D] and LSE [B, H, N], fp32 (for fp64 fp64)."""
    return reference.forward(q, k, v, lambda rows: _visible(see, own, disc, rows), scale, key_bias)


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    see: Tensor,
    own: Tensor,
    disc: DiscLayout | None,
    scale: float,
    key_bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their dtypes and dbias [B, H, S], like the LSE, or None."""
    return reference.backward(
        dout, dlse, q, k, v, lse, lambda rows: _visible(see, own, disc, rows), scale, key_bias
    )


def _visible(see: Tensor, own: Tensor, disc: DiscLayout | None, rows: slice) -> Tensor:
    """bool [B or 1, 1, rows, S]."""
    share = (see[:, None, rows, None] & own[:, None, None, :]) != 0
    return share if disc is None else share & visible(disc, rows, see.device)
