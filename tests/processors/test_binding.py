"""Binding of attributes and boxes for concepts: their losses, and whole runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import BindAttributes, BoxLayout, Interval, Prompts, Step
from attention_studio.processors.attach import attach
from attention_studio.processors.control import Control
from attention_studio.processors.controls.bind_attributes import divergence
from attention_studio.processors.prompts import TextBlock
from attention_studio.processors.recorder import Maps

from .conftest import Studio, tokenizer

GRID = (4, 6)
NOW = Step(1, 1, 10, 1.0)
TEXT = ["a red cat on grass"]


def prompts(*texts: str) -> Prompts:
    return Prompts(texts, len(texts), 1, (TextBlock("clip", (tokenizer(),), 77),))


def some(count: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, *GRID, generator=draw, dtype=torch.float64) + 0.01


def of_tokens(maps: Tensor) -> Maps:
    """Token 1 has the first map, and so on."""
    return Maps({(GRID, 0, f"token {i}", 0): m for i, m in enumerate(maps, 1)})


def loss(control: Any, maps: Tensor) -> Tensor:
    found: Tensor = control.loss(of_tokens(maps), NOW)
    return found[0]


def k(p: Tensor, q: Tensor) -> Tensor:
    p, q = (m.flatten() / m.sum() + 1e-8 for m in (p, q))
    return ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2


def test_the_divergence() -> None:
    maps = some(3)
    maps = maps / maps.flatten(1).sum(1)[:, None, None]
    found = divergence(maps)
    torch.testing.assert_close(found, found.T, atol=1e-14, rtol=0)
    assert float(found.diagonal().abs().max()) < 1e-14
    torch.testing.assert_close(found[0, 2], k(maps[0], maps[2]), atol=1e-6, rtol=1e-6)
    apart = torch.zeros(2, *GRID)
    apart[0, :2], apart[1, 2:] = 1 / 12, 1 / 12
    assert bool(divergence(apart).isfinite().all())


def test_pairs_come_together_and_away_from_the_rest() -> None:
    """ "r c o d": red cat, and d, a word of its own; letters are tokens."""
    control = BindAttributes({"c": ("r",)}).bind(prompts("r c o d"))
    assert control is not None
    r, c, o, d = maps = some(4)
    near = k(c, r)
    away = sum((k(word, u) for word in (c, r) for u in (o, d)), torch.zeros(())) / 4
    torch.testing.assert_close(loss(control, maps), near - away, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(loss(control, 7 * maps), loss(control, maps), atol=1e-7, rtol=1e-7)
    alone = BindAttributes({"c": ("r",)}).bind(prompts("r c"))
    torch.testing.assert_close(loss(alone, maps[:2]), near, atol=1e-6, rtol=1e-6)


def test_a_word_of_several_tokens_counts_with_the_farthest() -> None:
    control = BindAttributes({"c": ("re",)}).bind(prompts("re c"))
    r, e, c = maps = some(3)
    wanted = torch.maximum(k(c, r), k(c, e))
    torch.testing.assert_close(loss(control, maps), wanted, atol=1e-6, rtol=1e-6)


def test_pairs_are_found_in_each_prompt_anew() -> None:
    bound = BindAttributes().bind(prompts("a red cat", "a dog", "a big old dog"))
    assert bound is not None
    assert bound.groups == (
        (((5, 6, 7), ((2, 3, 4),)),),
        (),
        (((8, 9, 10), ((2, 3, 4), (5, 6, 7))),),
    )
    assert BindAttributes().bind(prompts("a cat on grass")) is None
    entities = BindAttributes(entities=True).bind(prompts("a cat on grass"))
    assert entities is not None and entities.groups == ((((2, 3, 4), ()), ((7, 8, 9, 10, 11), ())),)


def test_the_step_is_the_same_throughout_the_first_half() -> None:
    rates = [BindAttributes().rate(Step(i, i, 10, 1.0)) for i in range(10)]
    assert rates == [20.0] * 5 + [0.0] * 5


def test_the_energy_of_a_box() -> None:
    box = (0.0, 0.0, 0.5, 1.0)
    control = BoxLayout({"a": box}, target=0.0).bind(prompts("a b"))
    inside, outside = torch.zeros(GRID), torch.zeros(GRID)
    inside[:, :3], outside[:, 3:] = 1, 1
    assert float(loss(control, inside[None])) == 0.0
    assert float(loss(control, outside[None])) == 1.0
    (some_map,) = some(1)
    wanted = (1 - some_map[:, :3].sum() / some_map.sum()) ** 2
    for scale in (1, 100):
        torch.testing.assert_close(loss(control, scale * some_map[None]), wanted)
    tiny = BoxLayout({"a": (0.4, 0.4, 0.45, 0.45)}).bind(prompts("a b"))
    assert bool(loss(tiny, some_map[None]).isfinite())


def test_a_concept_in_its_box_is_left_alone() -> None:
    control = BoxLayout({"a": (0.0, 0.0, 1.0, 1.0)}).bind(prompts("a b"))
    maps = some(1).requires_grad_()
    (slope,) = torch.autograd.grad(loss(control, maps).sum(), maps)
    assert not slope.any()
    asked = torch.tensor([0.1, 0.3])
    assert control.again(asked, NOW, 3).tolist() == [False, True]
    assert control.again(asked, NOW, 4).tolist() == [False, False]


@pytest.mark.parametrize(
    "control",
    [
        BindAttributes(step_size=1000.0),
        BoxLayout({"cat": (0.0, 0.0, 0.3, 0.3)}, during=Interval()),
    ],
)
def test_whole_runs(control: Control) -> None:
    studio = Studio("sd")
    base = studio(TEXT)
    with attach(studio.pipe, [control]) as run:
        out = studio(TEXT)
    assert bool(out.isfinite().all()) and not torch.equal(out, base)
    moves = [nudge.moves for nudge in run.nudges]
    assert moves == ([1, 1] if isinstance(control, BindAttributes) else [5, 5, 5])
    if isinstance(control, BoxLayout):  # five moves of 5 %
        assert all(0.05 < nudge.lengths[0] < 1.05**5 - 1 for nudge in run.nudges)
    assert torch.equal(studio(TEXT), base)


def test_a_run_whose_concept_is_in_its_box_is_stock() -> None:
    studio = Studio("sd")
    base = studio(TEXT)
    with attach(studio.pipe, [BoxLayout({"cat": (0.0, 0.0, 1.0, 1.0)}, during=Interval())]):
        assert torch.equal(studio(TEXT), base)


def test_nothing_to_bind_is_stock() -> None:
    studio = Studio("sd")
    base = studio(["a cat on grass"])
    with attach(studio.pipe, [BindAttributes()]) as run:
        assert torch.equal(studio(["a cat on grass"]), base)
    assert run.nudges == ()


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (BindAttributes({"c": ("c",)}), "pairs: 'c' and its .'c',. share tokens"),
        (BindAttributes({"c": ("x",)}), "'x' is not in the prompt"),
        (BindAttributes({"x": ("c",)}), "'x' is not in the prompt"),
        (BoxLayout({}), "boxes: came"),
        (BoxLayout({"c": (0, 0, 2, 1)}), "boxes: 'c' came as .0, 0, 2, 1."),
        (BoxLayout({"c": (0, 0, 1, 1)}, most=0), "target, most: came 0.2 and 0"),
    ],
)
def test_what_makes_no_sense_is_said(control: Control, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        control.bind(prompts("r c"))
