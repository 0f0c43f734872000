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
from .control import Control
from .mix import Mix, Term
from .recorder import Recorder, Word

__all__ = ["Pair", "read"]

Pair = tuple[int, int]
"""(output row, row whose queries and keys it uses)."""


def read(
    call: Call,
    controls: Sequence[Control],
    mix: Mix,
    bias: Tensor | None,
    lses: Mapping[Pair, Tensor],
    recorder: Recorder,
    *,
    probs: Tensor | None = None,
) -> None:
    """Adds the maps that the controls ask for to the recorder.

    lses:  [H, N] of the pairs for which the kernel told it; others are computed.
    probs: [B, H, N, S] when they were formed anyway.
    """
    image, grid = call.queries.image, call.queries.grid
    if image is None or grid is None:
        raise ValueError(f"site: {call.site.name} has no image grid, so it has no word maps")
    for row, edited, asked in _asked(call, controls):
        words = list(asked)
        select = torch.zeros(call.k.shape[2], len(words))
        for i, word in enumerate(words):
            select[list(word.tokens), i] = 1.0
        if edited and probs is not None:
            found = probs[row].mean(0) @ select.to(probs)
        else:
            terms = mix.rows[row] if edited else (Term(row),)
            found = _columns(call, row, terms, select, bias, lses)
        for i, word in enumerate(words):
            for owner in asked[word]:
                image_index = call.batch.rows[row].image
                recorder.add(owner, grid, word, image_index, found[image, i])


def _asked(
    call: Call, controls: Sequence[Control]
) -> list[tuple[int, bool, dict[Word, list[Control]]]]:
    """Conditional rows, before or after the edit, with the words wanted and who wants them."""
    asked: dict[tuple[int, bool], dict[Word, list[Control]]] = {}
    for control in controls:
        wish = control.record(call.site, call.step)
        if wish is None:
            continue
        for row in call.batch.cond:
            for word in wish.words:
                if word.prompt == call.batch.rows[row].prompt:
                    asked.setdefault((row, wish.edited), {}).setdefault(word, []).append(control)
    return [(row, edited, words) for (row, edited), words in asked.items()]


def _columns(
    call: Call,
    row: int,
    terms: Sequence[Term],
    select: Tensor,
    bias: Tensor | None,
    lses: Mapping[Pair, Tensor],
) -> Tensor:
    """[N, W] fp32."""
    wide = torch.promote_types(call.q.dtype, torch.float32)
    total = torch.zeros(call.q.shape[2], select.shape[1], dtype=wide, device=call.q.device)
    limit = None if bias is None else bias[row if bias.shape[0] > 1 else 0][None]
    for term in terms:
        weights = term.apply(select)
        keys = weights.any(1).nonzero().squeeze(1)
        if not len(keys):
            continue
        q, k = call.q[term.row][None], call.k[term.row][None]
        known = lses.get((row, term.row))
        level = lse(q, k, scale=call.scale, bias=limit) if known is None else known[None]
        chosen = keys.to(k.device)
        there = None if limit is None else limit[..., chosen]
        part = word_maps(
            q, k[:, :, chosen], weights[keys][None], level, scale=call.scale, bias=there
        )
        total = total + (
            part[0] if term.weight is None else part[0] * term.weight.to(part)[:, None]
        )
    return total
