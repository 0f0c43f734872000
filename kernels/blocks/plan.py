"""The work of one pass of disc attention: tile tables, lists and jobs, made once per shape.

A job is seven whole numbers: start, middle and stop of its tile's list (see lists.py), then two
ranges [from, to) of tokens that its rows meet whole:

                            first range           second range
    query tiles: text       all keys of queries   -                   (split into parts)
                 image      text keys             pooled keys
    key tiles:   text       all queries           -                   (split into parts)
                 pooled     queries before text   queries after text  (split into parts)
                 image      text queries          -
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .lists import disc_lists
from .tiles import Shape, grid_tiles, run_tiles

__all__ = ["Plan", "disc_plan", "parts_of"]

Grids = tuple[tuple[int, int, int], ...]
LONG = 64  # blocks that one program should meet at most
CROWD = 264  # programs that fill a large GPU: two for each of 132 multiprocessors
MOST_PARTS = 16  # bounds the memory of partial results


@dataclass(frozen=True, eq=False)
class Plan:
    """own, other: int32 [tiles, 5].  entries: int32.  jobs: int32 [1 or B, own tiles, 7].

    runs:   (offset, length) of runs cut into own tiles, the first ones; their ranges are split.
    split:  how many tiles these are.
    ranges: whether any job has a first range, `second`: a second one.
    """

    own: Tensor
    other: Tensor
    entries: Tensor
    jobs: Tensor
    runs: tuple[tuple[int, int], ...] = ()
    split: int = 0
    ranges: bool = False
    second: bool = False


@lru_cache(maxsize=64)
def disc_plan(
    grids: Grids,
    text: tuple[int, int],
    pooled: tuple[int, int] | None,
    limit: int,
    own: Shape,
    other: Shape,
    keys_own: bool,
    device: torch.device,
) -> Plan:
    """Query tiles of shape `own` meet key tiles of shape `other`; keys meet queries if `keys_own`.

    limit: dy² + dx² <= limit is seen.
    """
    count = text[1] + sum(height * width for _, height, width in grids)
    begin, end = text[0], text[0] + text[1]
    nothing = (0, 0, 0)
    second = (0, 0)
    runs, jobs, tables = [], [], []
    if text[1]:
        runs.append(text)
        tables.append(run_tiles([text], own))
        jobs += [(*nothing, 0, count, 0, 0)] * len(tables[0])
    if pooled is not None and pooled[1] and keys_own:
        runs.append(pooled)
        tables.append(run_tiles([pooled], own))
        jobs += [(*nothing, 0, begin, end, count)] * len(tables[-1])
    elif pooled is not None:
        second = (pooled[0], pooled[0] + pooled[1])
    lists = disc_lists(grids, limit, own, other)
    jobs += [(*span, begin, end, *second) for span in lists.spans[0].tolist()]
    return Plan(
        torch.cat([*tables, grid_tiles(grids, own)]).to(device),
        grid_tiles(grids, other).to(device),
        lists.entries.to(device),
        torch.tensor([jobs], dtype=torch.int32).to(device),
        tuple(runs),
        sum(map(len, tables)),
        bool(runs),
        pooled is not None and pooled[1] > 0,
    )


def parts_of(plan: Plan, tokens: int, block: int, batch_heads: int) -> int:
    """Into how many parts the `tokens` that a run meets are split, `block` at a time."""
    if not plan.split:
        return 1
    blocks = -(-tokens // block)
    fill = min(-(-CROWD // (plan.split * batch_heads)), blocks // 8)
    return max(1, min(MOST_PARTS, max(-(-blocks // LONG), fill)))
