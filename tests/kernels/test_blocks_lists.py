"""Tiles and their lists against every pair of tokens, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.blocks.lists import (
    NONE,
    PART,
    WHOLE,
    Lists,
    bit_lists,
    disc_kinds,
    disc_lists,
)
from attention_studio.kernels.blocks.plan import Plan, disc_plan, parts_of
from attention_studio.kernels.blocks.tiles import cells, grid_tiles, run_tiles
from attention_studio.kernels.disc import DiscLayout

from .brute import LAYOUTS, disc_sees

SHAPES = [((8, 16), (8, 8)), ((4, 8), (8, 16)), ((2, 2), (2, 4))]
WIDE = DiscLayout.of([(3, 40, 33)], (0, 3), 25)


def kinds(sees: Tensor, own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """What each pair of tiles is, from sees [owners' tokens, others' tokens]."""
    (rows, here), (columns, there) = own, other
    pairs = sees[rows[:, None, :, None], columns[None, :, None, :]]
    absent = ~there[None, :, None, :]
    met = (pairs & here[:, None, :, None] & ~absent).any(-1).any(-1)
    whole = ((pairs & ~absent) | ~here[:, None, :, None]).all(-1).all(-1)
    return torch.where(whole, WHOLE, torch.where(met, PART, NONE)).to(torch.uint8)


@pytest.mark.parametrize("shape", [(8, 16), (4, 8), (1, 4)])
def test_every_token_is_in_one_cell(shape: tuple[int, int]) -> None:
    tables = [grid_tiles([(7, 9, 13), (124, 1, 21)], shape), run_tiles([(0, 7), (145, 130)], shape)]
    tokens, exists = cells(torch.cat(tables), shape)
    assert sorted(tokens[exists].tolist()) == list(range(275))
    y, x = tables[0][:, 1], tables[0][:, 2]
    assert not (y % shape[0]).any() and not (x % shape[1]).any()


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), WIDE], ids=str)
@pytest.mark.parametrize(("own", "other"), SHAPES)
def test_disc_lists_are_those_of_all_pairs(
    layout: DiscLayout, own: tuple[int, int], other: tuple[int, int]
) -> None:
    owners, others = grid_tiles(layout.grids, own), grid_tiles(layout.grids, other)
    wanted = kinds(disc_sees(layout), cells(owners, own), cells(others, other))
    found = disc_kinds(disc_lists(layout.grids, layout.limit, own, other), len(others))
    assert torch.equal(found, wanted)


def test_tiles_that_are_seen_whole_occur() -> None:
    found = disc_kinds(disc_lists(WIDE.grids, WIDE.limit, (8, 16), (8, 8)), 25)
    assert {WHOLE, PART, NONE} == set(found.flatten().tolist())


@pytest.mark.parametrize("batch", [1, 2])
def test_bit_lists_skip_exactly_what_shares_no_bit(batch: int) -> None:
    draw = torch.Generator().manual_seed(0)
    own, other = (2, 4), (1, 4)
    see = torch.randint(0, 8, (batch, 10), generator=draw).repeat_interleave(9, 1).int()
    mine = torch.randint(0, 8, (1, 12), generator=draw).repeat_interleave(6, 1).int()[:, :70]
    mine[:, 20:30] = -(2**31)  # the sign is a bit as any other
    see[:, 40:60] |= -(2**31)
    owners, others = run_tiles([(0, 90)], own), run_tiles([(0, 70)], other)
    lists = bit_lists(see, mine, (owners, own), (others, other))
    for b in range(batch):
        sees = (see[b, :, None] & mine[0]) != 0
        wanted = kinds(sees, cells(owners, own), cells(others, other))
        found = table(lists, b, len(others))
        assert torch.equal(found == NONE, wanted == NONE)
        assert bool((wanted[found == WHOLE] == WHOLE).all()) and bool((found == WHOLE).any())


def test_a_second_rule_can_only_take_away() -> None:
    bits = torch.ones(1, 16, dtype=torch.int32)
    tiles = run_tiles([(0, 16)], (1, 4)), (1, 4)
    rule = torch.tensor([[WHOLE, PART, NONE], [NONE, WHOLE, WHOLE]], dtype=torch.uint8)
    found = table(bit_lists(bits, bits, tiles, tiles, rule), 0, 4)
    wanted = torch.zeros(4, 4, dtype=torch.uint8)
    wanted[:2, :3] = rule
    assert torch.equal(found, wanted)


def table(lists: Lists, batch: int, others: int) -> Tensor:
    return disc_kinds(Lists(lists.entries, lists.spans[batch : batch + 1]), others)


def test_plans_are_made_once_and_know_their_runs() -> None:
    layout = LAYOUTS["image first, pooled"]
    shapes = (8, 16), (8, 8)
    plan = disc_plan(layout, *shapes, True, torch.device("cpu"))
    assert plan is disc_plan(layout, *shapes, True, torch.device("cpu"))
    assert plan.runs == ((180, 7), (187, 6)) and plan.split == 2 and plan.ranges and plan.second
    assert (
        plan.jobs[0, :3].tolist()
        == [
            [0, 0, 0, 0, 187, 0, 0],  # text keys: all queries
            [0, 0, 0, 0, 180, 187, 187],  # pooled keys: those of the image
            [0, *plan.jobs[0, 2, 1:3].tolist(), 180, 187, 0, 0],  # image keys: the text queries
        ]
    )


def test_long_runs_are_split_and_short_ones_are_not() -> None:
    empty = torch.empty(1, 5, dtype=torch.int32)
    plan = Plan(empty, empty, empty, empty, ((0, 512),), 4, True)
    assert parts_of(plan, 100, 128, 24) == 1
    assert parts_of(plan, 128 * 128 + 512, 128, 24) == 3  # fills a large GPU
    assert parts_of(plan, 512 * 512 + 512, 128, 24) == 16
    assert parts_of(Plan(empty, empty, empty, empty), 10**6, 128, 24) == 1
