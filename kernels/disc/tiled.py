"""Disc attention in plain torch at a cost linear in the tokens: the path for CPUs.

Image queries go by tiles against the window of keys that their discs touch, with the disc as an
additive mask, and against text and pooled keys as they are; the parts are merged by their LSE.
Half precision is computed in fp32, block by block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..rows import KeyGradients, Keys, RowGradients, Rows
from .layout import DiscLayout
from .windows import Discs, Strip, strips

__all__ = ["backward", "forward"]

_COPIED = 2**19  # elements of keys copied for a strip, of as many heads as fit: 2 MB in fp32
_SCORES = 2**18  # elements of scores or masks held at a time: 1 MB in fp32

Part = tuple[int, slice]  # a picture of the batch, some of its heads


def forward(
    q: Tensor, k: Tensor, v: Tensor, layout: DiscLayout, scale: float, key_bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, N, D] and LSE [B, H, N], fp32 (for fp64 fp64)."""
    wide = torch.promote_types(q.dtype, torch.float32)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty((*q.shape[:-1], 1), dtype=wide, device=q.device)
    discs = Discs(layout.limit, lse)
    for part in _parts(q, layout):
        keys = _keys(k, v, key_bias, part)
        for strip in strips(layout):
            rows = Rows.of(_copy(strip.rows(q[part]), wide).mul_(scale))
            for start, length in strip.whole:
                rows.see_all(keys.map(lambda x, s=slice(start, start + length): x[:, s]))
            _see_discs(rows, keys, strip, discs)
            for whole, found in ((out, rows.out), (lse, rows.lse)):
                view = strip.rows(whole[part])
                view.copy_(found.view(view.shape))
    return out, lse[..., 0]


def _see_discs(rows: Rows, keys: Keys, strip: Strip, discs: Discs) -> None:
    for window in strip.windows:
        near = keys.map(lambda x, w=window: _copy(w.near(x), rows.q.dtype)).plain()
        for run in window.rows:
            mask = discs.mask(run, window.columns)
            held = run.size * strip.width * run.reached * window.columns.reached
            most = run.count if near.bias is None else max(1, _SCORES // held)
            for few in run.cut(most):
                tiles = rows.map(lambda x, r=few: strip.tiles(r, x))
                tiles.see(near.map(lambda x, w=window, r=few: w.of(r, x)), mask)


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
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dq, dk, dv in their dtypes and dbias [B, H, S], like the LSE, or None."""
    wide = lse.dtype
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    dbias = None if key_bias is None else lse.new_empty((*k.shape[:-1], 1))
    discs = Discs(layout.limit, lse)
    for part in ((b, slice(h, h + 1)) for b in range(q.shape[0]) for h in range(q.shape[1])):
        keys = _keys(k, v, key_bias, part)
        into = KeyGradients.zeros(keys.k.shape, lse, dbias is not None)
        for strip in strips(layout):
            rows = RowGradients.of(
                _copy(strip.rows(q[part]), wide).mul_(scale),
                _copy(strip.rows(dout[part]), wide),
                None if dlse is None else _copy(strip.rows(dlse[part][..., None]), wide),
                _copy(strip.rows(out[part]), wide),
                _copy(strip.rows(lse[part][..., None]), wide),
            )
            for start, length in strip.whole:
                seen = slice(start, start + length)
                rows.saw_all(
                    keys.map(lambda x, s=seen: x[:, s]), into.map(lambda x, s=seen: x[:, s])
                )
            _saw_discs(rows, keys, into, strip, discs)
            view = strip.rows(dq[part])
            view.copy_(rows.dq.view(view.shape).mul_(scale))
        for whole, found in ((dk, into.dk), (dv, into.dv), (dbias, into.dbias)):
            if whole is not None and found is not None:
                whole[part] = found
    return dq, dk, dv, None if dbias is None else dbias[..., 0]


def _saw_discs(
    rows: RowGradients, keys: Keys, into: KeyGradients, strip: Strip, discs: Discs
) -> None:
    for window in strip.windows:
        near = keys.map(lambda x, w=window: _copy(w.near(x), rows.q.dtype)).plain()
        found = KeyGradients.zeros(near.k.shape, near.k, into.dbias is not None)
        for run in window.rows:
            mask = discs.mask(run, window.columns)
            held = run.size * strip.width * run.reached * window.columns.reached
            for few in run.cut(max(1, _SCORES // held)):
                tiles = rows.map(lambda x, r=few: strip.tiles(r, x)[0])
                saw = tiles.saw(near.map(lambda x, w=window, r=few: w.of(r, x)[0]), mask)
                for i, one in enumerate(few.cut(1)):  # windows overlap: their sums go one by one
                    target = found.map(lambda x, w=window, r=one: w.of(r, x)[0])
                    target.add(tiles.q[i : i + 1], tiles.dout[i : i + 1], *(x[i : i + 1] for x in saw))
        for total, more in zip(
            (into.dk, into.dv, into.dbias), (found.dk, found.dv, found.dbias), strict=True
        ):
            if total is not None and more is not None:
                view = window.near(total)
                view += more.view(view.shape)


def _parts(q: Tensor, layout: DiscLayout) -> Iterator[Part]:
    """Each picture's heads, as many at a time as their copied strips are small."""
    _, height, width = max(layout.grids, key=lambda grid: grid[1] * min(grid[2], 99))
    copied = height * min(width, 2 * layout.reach + 8) * q.shape[-1]
    step = max(1, _COPIED // copied)
    for picture in range(q.shape[0]):
        for head in range(0, q.shape[1], step):
            yield picture, slice(head, head + step)


def _keys(k: Tensor, v: Tensor, key_bias: Tensor | None, part: Part) -> Keys:
    bias = None if key_bias is None else key_bias[part][..., None]
    if bias is not None and bias.stride(0) == 0:
        bias = bias[:1]  # one for all heads
    return Keys(k[part], v[part], bias)


def _copy(x: Tensor, dtype: torch.dtype) -> Tensor:
    """[G, height, width, C] as [G, height · width, C] of its own."""
    return x.to(dtype, memory_format=torch.contiguous_format, copy=True).flatten(1, 2)
