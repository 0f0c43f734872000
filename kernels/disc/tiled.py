"""Disc attention in plain torch at a cost linear in the tokens: the path for CPUs.

Image queries go by tiles against the window of keys that their discs touch, with the disc as an
additive mask, and against text and pooled keys as they are; the parts are merged by their LSE.
Half precision is computed in fp32, block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from ..rows import SCORES, KeyGradients, Keys, RowGradients, Rows
from .layout import DiscLayout
from .windows import Discs, Run, Strip, Window, strips

__all__ = ["Labels", "backward", "forward"]

_COPIED = 2**19  # elements of keys copied for a strip, of as many heads as fit: 2 MB in fp32

Labels = tuple[Tensor, Tensor]  # see [B or 1, N], own [B or 1, S]: bits that must meet as well
Part = tuple[int, slice]  # a picture of the batch, some of its heads


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: DiscLayout,
    scale: float,
    key_bias: Tensor | None,
    labels: Labels | None = None,
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, D] and LSE [B, H, N], fp32 (for fp64 fp64)."""
    wide = torch.promote_types(q.dtype, torch.float32)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty((*q.shape[:-1], 1), dtype=wide, device=q.device)
    discs = Discs(layout, lse)
    for part in _parts(q, layout):
        keys, see = _keys(k, v, key_bias, labels, part), _see(labels, part)
        for strip in strips(layout):
            groups = None if see is None else _copy(strip.rows(see), wide)
            rows = Rows.of(_take(strip, part, wide, q).mul_(scale), groups)
            for start, length in strip.whole:
                rows.see_all(keys.at(slice(start, start + length)))
            for window in strip.windows:
                near = _near(keys, window, wide)
                for run, mask in _runs(near, window, discs):
                    tiles = rows.map(partial(strip.tiles, run))
                    tiles.see(near.map(partial(window.of, run)), mask)
            for whole, found in ((out, rows.out), (lse, rows.lse)):
                view = strip.rows(whole[part])
                view.copy_(found.view(view.shape))
    return out, lse[..., 0]


def backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    layout: DiscLayout,
    scale: float,
    key_bias: Tensor | None,
    labels: Labels | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their dtypes and dbias [B, H, S], like the LSE, or None."""
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    dbias = None if key_bias is None else lse.new_empty((*k.shape[:-1], 1))
    discs = Discs(layout, lse)
    for part in ((b, slice(h, h + 1)) for b in range(q.shape[0]) for h in range(q.shape[1])):
        keys, see = _keys(k, v, key_bias, labels, part), _see(labels, part)
        into = KeyGradients.zeros(keys.k.shape, lse, dbias is not None)
        for strip in strips(layout):
            take = partial(_take, strip, part, lse.dtype)
            rows = RowGradients.of(
                take(q).mul_(scale),
                take(dout),
                None if dlse is None else take(dlse[..., None]),
                take(out),
                take(lse[..., None]),
                None if see is None else _copy(strip.rows(see), lse.dtype),
            )
            for start, length in strip.whole:
                seen = slice(start, start + length)
                rows.saw_all(keys.at(seen), into.at(seen))
            for window in strip.windows:
                _saw_discs(rows, keys, into, strip, window, discs)
            view = strip.rows(dq[part])
            view.copy_(rows.dq.mul_(scale).view(view.shape))
        for whole, total in ((dk, into.dk), (dv, into.dv), (dbias, into.dbias)):
            if whole is not None and total is not None:
                whole[part] = total
    return dq, dk, dv, None if dbias is None else dbias[..., 0]


def _saw_discs(
    rows: RowGradients, keys: Keys, into: KeyGradients, strip: Strip, window: Window, discs: Discs
) -> None:
    near = _near(keys, window, rows.q.dtype)
    found = KeyGradients.zeros(near.k.shape, near.k, into.dbias is not None)
    for run, mask in _runs(near, window, discs, held=True):
        tiles = rows.map(partial(strip.tiles, run)).map(_only)
        saw = tiles.saw(near.map(partial(window.of, run)).map(_only), mask)
        for i, one in enumerate(run.cut(1)):  # windows overlap: their sums go one by one
            target = found.map(partial(window.of, one)).map(_only)
            tile = slice(i, i + 1)
            target.add(tiles.q[tile], tiles.dout[tile], *(x[tile] for x in saw))
    for total, more in ((into.dk, found.dk), (into.dv, found.dv), (into.dbias, found.dbias)):
        if total is not None and more is not None:
            view = window.near(total)
            view += more.view(view.shape)


def _only(x: Tensor) -> Tensor:
    return x[0]


def _parts(q: Tensor, layout: DiscLayout) -> Iterator[Part]:
    """Each picture's heads, as many at a time as their copied strips are small."""
    copied = max(height * min(width, 8 + 2 * layout.reach) for _, height, width in layout.grids)
    step = max(1, _COPIED // (copied * q.shape[-1]))
    for picture in range(q.shape[0]):
        for head in range(0, q.shape[1], step):
            yield picture, slice(head, head + step)


def _keys(k: Tensor, v: Tensor, key_bias: Tensor | None, labels: Labels | None, part: Part) -> Keys:
    bias = None if key_bias is None else key_bias[part][..., None]
    if bias is not None and bias.stride(0) == 0:
        bias = bias[:1]  # one for all heads
    own = None if labels is None else _of_picture(labels[1], part)
    return Keys(k[part], v[part], bias, own)


def _see(labels: Labels | None, part: Part) -> Tensor | None:
    return None if labels is None else _of_picture(labels[0], part)


def _of_picture(bits: Tensor, part: Part) -> Tensor:
    """[1, tokens, 1] of bits [B or 1, tokens]."""
    return bits[part[0] % bits.shape[0]][None, :, None]


def _take(strip: Strip, part: Part, dtype: torch.dtype, x: Tensor) -> Tensor:
    return _copy(strip.rows(x[part]), dtype)


def _near(keys: Keys, window: Window, dtype: torch.dtype) -> Keys:
    return keys.map(lambda x: _copy(window.near(x), dtype)).to(dtype)


def _runs(
    near: Keys, window: Window, discs: Discs, held: bool = False
) -> Iterator[tuple[Run, Tensor | None]]:
    """Tiles with their disc, few at a time where their scores or masks are held."""
    columns = window.columns
    for run in window.rows:
        each = run.size * columns.size * run.reached * columns.reached
        most = max(1, SCORES // each) if held or near.masked else run.count
        for few in run.cut(most):
            yield few, discs.mask(run, columns)


def _copy(x: Tensor, dtype: torch.dtype) -> Tensor:
    """[G, height, width, C] as [G, height · width, C] of its own; floats in `dtype`, bits as is."""
    dtype = dtype if x.is_floating_point() else x.dtype
    return x.to(dtype, memory_format=torch.contiguous_format, copy=True).flatten(1, 2)
