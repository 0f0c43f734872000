"""Counted pairs against masks written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attention_studio.bench import Case
from attention_studio.bench.case import Impl
from attention_studio.bench.executed import executed_pairs
from attention_studio.bench.labelled import labels
from attention_studio.bench.pairs import disc_pairs, labelled_pairs, useful_flops

CPU = torch.device("cpu")


@pytest.mark.parametrize("radius", [0.5, 1, 2, 3.5, 5, 100])
@pytest.mark.parametrize(("grid", "text"), [((7, 11), 5), ((1, 9), 0), ((6, 6), 1)])
def test_disc_pairs_are_those_of_the_mask(grid: tuple[int, int], text: int, radius: float) -> None:
    y, x = (part.flatten() for part in torch.meshgrid(*map(torch.arange, grid), indexing="ij"))
    near = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2 < radius**2
    image = len(y)
    assert disc_pairs(grid, text, radius) == int(near.sum()) + text * (2 * image + text)


def test_clear_s_own_figure() -> None:
    """Table 1 of CLEAR: 63.5 GFLOP a layer at 64 x 64 tokens, 512 of text, radius 8."""
    pairs = disc_pairs((64, 64), 512, 8)
    assert useful_flops(pairs, 128, 24, backward=False) == pytest.approx(63.5e9, rel=1e-3)


def test_labelled_pairs_are_those_of_the_mask(case: Case) -> None:
    see, own = labels(case)
    assert labelled_pairs(see, own) == int(((see[:, None] & own) != 0).sum())
    assert labelled_pairs(torch.tensor([1, 2, 4]), torch.tensor([3, 3, 0])) == 4


def test_labels_quarter_the_picture(case: Case) -> None:
    see, own = labels(case)
    image = own[case.text :]
    assert sorted(image.unique().tolist()) == [2, 4, 8, 16]
    assert image.bincount()[[2, 4, 8, 16]].tolist() == [case.image // 4] * 4
    assert own[0] == 1 and see[0] == 31  # common words


@pytest.mark.parametrize("impl", ["tiled", "triton"])
@pytest.mark.parametrize("grid", [(8, 16), (13, 21), (1, 40)])
def test_executed_pairs_hold_the_useful_ones(case: Case, grid: tuple[int, int], impl: Impl) -> None:
    case = replace(case, grid=grid, impl=impl)
    found = executed_pairs(case)
    assert found is not None and found >= disc_pairs(grid, case.text, case.radius)
    assert impl == "triton" or found <= case.tokens**2
    assert executed_pairs(replace(case, impl="reference")) is None


@pytest.mark.parametrize(
    ("side", "radius", "waste"), [(64, 8, 1.35), (128, 8, 1.41), (64, 16, 1.42), (128, 32, 1.46)]
)
def test_tiles_waste_what_was_computed_for_them(side: int, radius: float, waste: float) -> None:
    """By hand, in bf16 with 512 words: 8 x 16 queries by 8 x 8 keys, from radius 16 on 8 x 16."""
    case = Case((side, side), 512, radius, 24, 128, torch.bfloat16, CPU, impl="triton")
    found = executed_pairs(case)
    assert found is not None
    assert found / disc_pairs(case.grid, 512, radius) == pytest.approx(waste, abs=0.006)
