"""Reads the words' columns of the maps that acted, without forming a map.

With L the value map of a term and s [S, W] the columns of each word, A_e s = sum diag(w) A_r (L s),
and a column of A_r is exp(scores − LSE): only the few keys where L s is not zero are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..kernels.maps import lse, word_maps
from .call import Call
from .plan import Reading
from .recorder import Recorder
from .tensors import Looks

__all__ = ["Pair", "read"]

Pair = tuple[int, int]
"""(output row, row whose queries and keys it uses)."""


def read(
    call: Call,
    readings: Sequence[Reading],
    looks: Looks,
    bias: Tensor | None,
    lses: Mapping[Pair, Tensor],
    recorder: Recorder,
    *,
    probs: Tensor | None = None,
) -> None:
    """Adds the maps that the controls ask for to the recorder.

    looks: queries and keys of all rows that the readings look by.
    lses:  [H, N] of the pairs for which the kernel told it; others are computed.
    probs: [B, H, N, S] when they were formed anyway.
    """
    image, grid = call.queries.image, call.queries.grid
    if readings and (image is None or grid is None):
        raise ValueError(f"site: {call.site.name} has no image grid, so it has no word maps")
    for reading in readings:
        assert image is not None and grid is not None
        if reading.edited and probs is not None:
            found = probs[reading.row].mean(0) @ reading.select.to(probs)
        else:
            found = _columns(call, reading, looks, bias, lses)
        owner_image = call.batch.rows[reading.row].image
        for i, (word, owners) in enumerate(zip(reading.words, reading.owners, strict=True)):
            for owner in owners:
                recorder.add(owner, grid, word, owner_image, found[image, i])


def _columns(
    call: Call,
    reading: Reading,
    looks: Looks,
    bias: Tensor | None,
    lses: Mapping[Pair, Tensor],
) -> Tensor:
    """[N, W] fp32."""
    total: Tensor | None = None
    limit = None if bias is None else bias[reading.row if len(bias) > 1 else 0][None]
    for share in reading.shares:
        q, k = looks.of([share.term.row])
        known = lses.get((reading.row, share.term.row))
        level = lse(q, k, scale=call.scale, bias=limit) if known is None else known[None]
        there = None if limit is None else limit[..., share.keys]
        part = word_maps(
            q, k[:, :, share.keys], share.weights[None], level, scale=call.scale, bias=there
        )[0]
        if share.term.weight is not None:
            part = part * share.term.weight.to(part)[:, None]
        total = part if total is None else total + part
    if total is None:
        wide = torch.promote_types(call.v.dtype, torch.float32)
        return torch.zeros(call.shape[2], len(reading.words), dtype=wide, device=call.device)
    return total
