"""Labelled attention in plain torch at the cost of the visible pairs: the path for CPUs.

Rows that look at the same groups see the same keys. These are gathered once, and no mask is made;
only words with few rows share their keys under a small one. With discs, labels join their mask.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..disc import tiled as discs
from ..disc.layout import DiscLayout
from ..rows import KeyGradients, Keys, RowGradients, Rows
from .groups import Group, groups, take

__all__ = ["backward", "forward"]

_COPIED = 2**21  # elements of rows and keys gathered at a time, for as many heads as fit

Part = tuple[int, slice]  # a picture of the batch, some of its heads


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
    if disc is not None:
        return discs.forward(q, k, v, disc, scale, key_bias, (see, own))
    wide = torch.promote_types(q.dtype, torch.float32)
    out = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.full(q.shape[:-1], -torch.inf, dtype=wide, device=q.device)
    for group, part in _parts(q, see, own):
        bits = _bits(see, part, group) if group.mixed else None
        rows = Rows.of(take(q[part], group.rows).to(wide) * scale, bits)
        rows.see_all(_keys(k, v, key_bias, own, group, part))
        out[part].index_copy_(1, group.rows, rows.out.to(q.dtype))
        lse[part].index_copy_(1, group.rows, rows.lse[..., 0])
    return out, lse


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
    if disc is not None:
        return discs.backward(dout, dlse, q, k, v, out, lse, disc, scale, key_bias, (see, own))
    wide = lse.dtype
    dq = torch.zeros(q.shape, dtype=q.dtype, device=q.device)
    dk, dv = (torch.zeros(x.shape, dtype=wide, device=x.device) for x in (k, v))
    dbias = None if key_bias is None else lse.new_zeros((*k.shape[:-1], 1))
    for group, part in _parts(q, see, own):
        rows = RowGradients.of(
            take(q[part], group.rows).to(wide) * scale,
            take(dout[part], group.rows).to(wide),
            None if dlse is None else take(dlse[part][..., None], group.rows).to(wide),
            take(out[part], group.rows).to(wide),
            take(lse[part][..., None], group.rows),
            _bits(see, part, group) if group.mixed else None,
        )
        keys = _keys(k, v, key_bias, own, group, part)
        into = KeyGradients.zeros(keys.k.shape, lse, dbias is not None)
        rows.saw_all(keys, into)
        dq[part].index_copy_(1, group.rows, rows.dq.mul_(scale).to(q.dtype))
        for total, more in ((dk, into.dk), (dv, into.dv), (dbias, into.dbias)):
            if total is not None and more is not None:
                total[part].index_add_(1, group.keys, more)
    return dq, dk.to(k.dtype), dv.to(v.dtype), None if dbias is None else dbias[..., 0]


def _parts(q: Tensor, see: Tensor, own: Tensor) -> Iterator[tuple[Group, Part]]:
    """Every group of every picture, with as many heads at a time as are small together."""
    B, H, _, D = q.shape
    shared = see.shape[0] == own.shape[0] == 1
    for pictures in [range(B)] if shared else [range(b, b + 1) for b in range(B)]:
        first = pictures[0]
        for group in groups(see[first % see.shape[0]], own[first % own.shape[0]]):
            step = max(1, _COPIED // (D * (len(group.rows) + len(group.keys))))
            for b in pictures:
                for head in range(0, H, step):
                    yield group, (b, slice(head, head + step))


def _keys(
    k: Tensor, v: Tensor, key_bias: Tensor | None, own: Tensor, group: Group, part: Part
) -> Keys:
    bias = None if key_bias is None else key_bias[part][..., None]
    bits = own[part[0] % own.shape[0]][None, :, None] if group.mixed else None
    return Keys(k[part], v[part], bias, bits).map(lambda x: take(x, group.keys))


def _bits(see: Tensor, part: Part, group: Group) -> Tensor:
    """[1, M, 1]."""
    return see[part[0] % see.shape[0]][None, group.rows, None]
