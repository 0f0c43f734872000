"""The work of one pass: tile tables, lists and jobs; those of the disc are made once per shape.

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

from ..disc.layout import DiscLayout
from .lists import NONE, WHOLE, bit_lists, disc_kinds, disc_lists
from .tiles import Shape, grid_tiles, run_tiles

__all__ = ["Plan", "bits_plan", "disc_plan", "parts_of"]

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
    layout: DiscLayout, own: Shape, other: Shape, keys_own: bool, device: torch.device
) -> Plan:
    """Query tiles of shape `own` meet key tiles of shape `other`, or keys queries."""
    grids, text, pooled = layout.grids, layout.text, layout.pooled or (layout.queries, 0)
    begin, end = text[0], sum(text)
    runs, jobs, tables = [], [], []
    if text[1]:
        runs.append(text)
        tables.append(run_tiles([text], own))
        jobs += [(0, 0, 0, 0, layout.queries, 0, 0)] * len(tables[-1])
    if pooled[1] and keys_own:
        runs.append(pooled)
        tables.append(run_tiles([pooled], own))
        jobs += [(0, 0, 0, 0, begin, end, layout.queries)] * len(tables[-1])
    lists = disc_lists(grids, layout.limit, own, other)
    rest = (0, 0) if keys_own else (pooled[0], sum(pooled))
    jobs += [(*span, begin, end, *rest) for span in lists.spans[0].tolist()]
    return Plan(
        torch.cat([*tables, grid_tiles(grids, own)]).to(device),
        grid_tiles(grids, other).to(device),
        lists.entries.to(device),
        torch.tensor([jobs], dtype=torch.int32).to(device),
        tuple(runs),
        sum(map(len, tables)),
        bool(runs),
        pooled[1] > 0,
    )


def bits_plan(
    own_bits: Tensor,
    other_bits: Tensor,
    own: Shape,
    other: Shape,
    disc: DiscLayout | None,
    keys_own: bool,
) -> Plan:
    """Tiles of tokens that carry bits, int32 [1 or B, tokens]; lists are made on their device.

    Without a disc, tiles are runs of tokens. With one, its grids are cut into patches, and pairs
    must pass both tests.
    """
    device = own_bits.device
    grids = () if disc is None else disc.grids
    owners = _tiles(grids, _runs(disc, own_bits.shape[1], keys_own), own, device)
    others = _tiles(grids, _runs(disc, other_bits.shape[1], not keys_own), other, device)
    kinds = None if disc is None else _kinds(disc, own, other, keys_own, device)
    lists = bit_lists(own_bits, other_bits, (owners, own), (others, other), kinds)
    jobs = torch.cat([lists.spans, lists.spans.new_zeros(*lists.spans.shape[:2], 4)], 2)
    return Plan(owners, others, lists.entries, jobs)


def _runs(disc: DiscLayout | None, tokens: int, keys: bool) -> tuple[tuple[int, int], ...]:
    """All tokens but those of the grids; text and pooled keys apart."""
    if disc is None:
        return ((0, tokens),)
    return (disc.text, disc.pooled or (tokens, 0)) if keys else (disc.text,)


@lru_cache(maxsize=64)
def _tiles(
    grids: tuple[tuple[int, int, int], ...],
    runs: tuple[tuple[int, int], ...],
    shape: Shape,
    device: torch.device,
) -> Tensor:
    """Patches of the grids, then pieces of the runs."""
    return torch.cat([grid_tiles(grids, shape), run_tiles(runs, shape)]).to(device)


@lru_cache(maxsize=64)
def _kinds(
    disc: DiscLayout, own: Shape, other: Shape, keys_own: bool, device: torch.device
) -> Tensor:
    """WHOLE, PART or NONE by the disc alone, for patches, text and pooled keys."""
    grids = len(grid_tiles(disc.grids, own)), len(grid_tiles(disc.grids, other))
    text = len(run_tiles([disc.text], own)), len(run_tiles([disc.text], other))
    rest = [disc.pooled or (0, 0)]
    pooled = len(run_tiles(rest, own)) * keys_own, len(run_tiles(rest, other)) * (not keys_own)
    kinds = torch.full([sum(n) for n in zip(grids, text, pooled, strict=True)], WHOLE)
    kinds[: grids[0], : grids[1]] = disc_kinds(
        disc_lists(disc.grids, disc.limit, own, other), grids[1]
    )
    if keys_own:
        kinds[grids[0] + text[0] :, grids[1] :] = NONE  # text does not see pooled keys
    else:
        kinds[grids[0] :, grids[1] + text[1] :] = NONE
    return kinds.to(torch.uint8).to(device)


def parts_of(plan: Plan, tokens: int, block: int, batch_heads: int) -> int:
    """Into how many parts the `tokens` that a run meets are split, `block` at a time."""
    if not plan.split:
        return 1
    blocks = -(-tokens // block)
    fill = min(-(-CROWD // (plan.split * batch_heads)), blocks // 8)
    return max(1, min(MOST_PARTS, max(-(-blocks // LONG), fill)))
