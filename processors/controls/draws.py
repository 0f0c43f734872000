"""Random choices that depend on what they are for, and on nothing that was drawn before."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from zlib import crc32

import torch
from torch import Tensor

from ..call import Call, Rows
from ..sight import Reference, Sight

__all__ = ["drawn", "drawn_from"]


def drawn(what: Hashable, count: int, probability: float) -> Tensor:
    """[count] bool, each True with that probability; the same for the same `what`, always.

    No generator of the caller or of torch is used up.
    """
    if probability >= 1:
        return torch.ones(count, dtype=torch.bool)
    draw = torch.Generator().manual_seed(crc32(repr(what).encode()))
    return torch.rand(count, generator=draw) < probability


def drawn_from(
    call: Call,
    rows: Rows,
    prompts: Sequence[int],
    keys_of: Callable[[int, int], Tensor],
    *,
    seed: int,
    probability: float,
    readers: Sequence[int] | None = None,
) -> dict[int, Sight]:
    """What each row sees of other prompts' pictures: a random part of some of their keys.

    keys_of: from (prompt, image) to positions [K] among the image tokens.
    probability: that a key is taken, drawn anew for each step, row and prompt.
    readers: prompts whose rows see anything; None = all.
    """
    found = {}
    for i in call.batch.select(rows):
        own = call.batch.rows[i]
        if readers is not None and own.prompt not in readers:
            continue
        references = []
        for prompt in prompts:
            if prompt == own.prompt:
                continue
            keys = keys_of(prompt, own.image)
            what = (seed, call.step.call, call.queries.grid, own.prompt, own.image, prompt)
            keys = keys[drawn(what, len(keys), probability)]
            if len(keys):
                references.append(Reference(call.batch.beside(i, prompt), keys))
        if references:
            found[i] = Sight(references=tuple(references))
    return found
