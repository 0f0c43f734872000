"""The losses of composition on made-up maps: what the formulas must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Interval, Prompts, Step
from attention_studio.processors.controls.excite import Excite
from attention_studio.processors.controls.overlap import overlap
from attention_studio.processors.controls.regions import covered
from attention_studio.processors.controls.retain import Retain, otsu
from attention_studio.processors.controls.segregate import Segregate
from attention_studio.processors.prompts import TextBlock
from attention_studio.processors.recorder import Maps

from .conftest import tokenizer

GRID = (5, 7)
RAW: dict[str, Any] = {"renorm": "none", "smooth": False}


def maps_of(*tokens: Tensor) -> Maps:
    """Maps of the tokens 2, 4, 6, …, where the one-letter words of `bound` stand."""
    return Maps({(GRID, 0, f"token {2 * i + 1}", 0): m for i, m in enumerate(tokens)})


def prompts(*texts: str) -> Prompts:
    return Prompts(texts, len(texts), 1, (TextBlock("clip", (tokenizer(),), 77),))


def bound(control: Any, count: int) -> Any:
    """For a prompt of `count` words of a letter each, which are the tokens 1, 2, …"""
    made = control.bind(prompts("abcdefgh"[:count].replace("", " ").strip()))
    at = [replace(f, tokens=(2 * i + 1,)) for i, f in enumerate(made.found.of[0])]
    return replace(made, found=replace(made.found, of=(tuple(at),)))


def step(index: int = 0, count: int = 10) -> Step:
    return Step(index, index, count, 1.0)


def some(count: int, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.rand(GRID, generator=draw, dtype=torch.float64) for _ in range(count)]


def loss(control: Any, maps: Sequence[Tensor], index: int = 0) -> Tensor:
    found: Tensor = control.loss(maps_of(*maps), step(index))
    assert found.shape == (1,)
    return found[0]


def test_the_ratio_of_the_paper_and_jaccard_s() -> None:
    a, b = some(2)
    apart = torch.zeros(2, *GRID, dtype=torch.float64)
    apart[0, :2], apart[1, 3:] = 1, 1
    assert float(overlap(a, a)) == 0.5 and float(overlap(a, a, "jaccard")) == 1.0
    assert float(overlap(*apart)) == 0.0 and float(overlap(*apart, "jaccard")) == 0.0
    r, j = overlap(a, b), overlap(a, b, "jaccard")
    assert float(overlap(b, a)) == float(r)
    torch.testing.assert_close(overlap(3 * a, 3 * b), r, atol=1e-12, rtol=0)
    torch.testing.assert_close(j, r / (1 - r), atol=1e-12, rtol=0)
    torch.testing.assert_close(overlap(a, 2 * a), torch.tensor(1 / 3, dtype=torch.float64))
    p, q = a / a.sum(), b / b.sum()
    total_variation = (p - q).abs().sum() / 2
    torch.testing.assert_close(overlap(p, q), (1 - total_variation) / 2, atol=1e-12, rtol=0)
    assert float(overlap(0 * a, 0 * a)) == 0.0
    with pytest.raises(ValueError, match="overlap: came 'iou'; expected 'paper' or 'jaccard'"):
        overlap(a, b, "iou")  # type: ignore[arg-type]


def test_the_ratio_s_gradient() -> None:
    a, b = (x.requires_grad_() for x in some(2))
    assert torch.autograd.gradcheck(overlap, (a, b))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_segregation_of_equal_maps_is_a_sum_over_pairs(count: int) -> None:
    control = bound(Segregate(tuple("abcd"[:count]), **RAW), count)
    (one,) = some(1)
    scaled = [one * (i + 1) for i in range(count)]  # maps of sum 1: the scale is gone
    assert float(loss(control, scaled)) == pytest.approx(count * (count - 1) / 4, abs=1e-12)


def test_segregation_does_not_depend_on_the_order() -> None:
    control, maps = bound(Segregate(("a", "b", "c"), **RAW), 3), some(3)
    turned = [maps[i] for i in (2, 0, 1)]
    torch.testing.assert_close(loss(control, maps), loss(control, turned), atol=1e-12, rtol=0)


def test_pairs_that_may_touch_do_not_count() -> None:
    control = bound(Segregate(("a", "b", "c"), touching=(("c", "a"),), **RAW), 3)
    a, b, c = some(3)
    wanted = [overlap(x / x.sum(), y / y.sum()) for x, y in ((a, b), (b, c))]
    torch.testing.assert_close(loss(control, [a, b, c]), torch.stack(wanted).sum())
    all_of_them = bound(Segregate(("a", "b"), touching=(("a", "b"),), **RAW), 2)
    assert float(loss(all_of_them, [a, b])) == 0.0


def test_retention_of_a_map_that_is_its_mask() -> None:
    flat = torch.zeros(GRID, dtype=torch.float64)
    flat[1:3, 2:5] = 0.02
    for form, least in (("paper", 0.5), ("jaccard", 0.0)):
        control = bound(Retain(("a",), overlap=form, **RAW), 1)  # type: ignore[arg-type]
        assert float(loss(control, [flat], 0)) == 0.0
        assert float(loss(control, [flat], 1)) == least


def test_retention_s_closed_form() -> None:
    """For M <= 1 and a mask B: r = I / (I + O + |B|), I the mass inside, O outside."""
    before, now = some(2)
    control = bound(Retain(("a",), **RAW), 1)
    loss(control, [before], 0)
    where, m = before >= 0.5 * before.max(), now / now.max()
    inside, outside = m[where].sum(), m[~where].sum()
    wanted = 1 - inside / (inside + outside + where.sum())
    torch.testing.assert_close(loss(control, [now], 1), wanted, atol=1e-12, rtol=0)


def test_an_empty_mask_costs_one_and_pulls_nowhere() -> None:
    control = bound(Retain(("a",), **RAW), 1)
    (now,) = some(1)
    loss(control, [torch.zeros(GRID, dtype=torch.float64)], 0)
    found = loss(control, [now.requires_grad_()], 1)
    assert float(found.detach()) == 1.0
    assert not bool(torch.autograd.grad(found, now)[0].any())


def test_the_mask_is_that_of_the_step_before_however_often_one_looks() -> None:
    control = bound(Retain(("a",), **RAW), 1)
    first, second, third = some(3)
    assert float(loss(control, [first], 0)) == 0.0
    assert not loss(control, [first.clone().requires_grad_()], 0).requires_grad
    by_first = loss(control, [third], 1)
    loss(control, [second], 1)  # a second look in the same step takes the place of the first
    assert not torch.equal(loss(control, [third], 2), by_first)
    fresh = bound(Retain(("a",), **RAW), 1)
    loss(fresh, [second], 0)
    torch.testing.assert_close(loss(control, [third], 2), loss(fresh, [third], 1))
    again = bound(Retain(("a",), **RAW), 1)
    loss(again, [third], 0)
    torch.testing.assert_close(loss(control, [first], 3), loss(again, [first], 1))


def test_masks_may_be_given_kept_and_settled() -> None:
    first, second, third = some(3)
    given = torch.zeros(10, 14)
    given[:4] = 1
    control = bound(Retain(("a",), masks={"a": given}, **RAW), 1)
    m = third / third.max()
    wanted = 1 - overlap(m, covered(given, GRID, "mask").double())
    torch.testing.assert_close(loss(control, [third], 0), wanted)
    settled = bound(Retain(("a",), settled=0.0, **RAW), 1)
    for index, shown in enumerate((first, second)):
        loss(settled, [shown], index)
    plain = bound(Retain(("a",), **RAW), 1)
    loss(plain, [first], 0)
    torch.testing.assert_close(loss(settled, [third], 2), loss(plain, [third], 1))
    kept = bound(Retain(("a",), keep=0.5, **RAW), 1)
    for index, shown in enumerate((first, second)):
        loss(kept, [shown], index)
    half = (first / first.max() + second / second.max()) / 2
    wanted = 1 - overlap(m, (half >= 0.5 * half.max()).double())
    torch.testing.assert_close(loss(kept, [third], 2), wanted)


def test_otsu_parts_two_groups() -> None:
    draw = torch.Generator().manual_seed(0)
    low, high = torch.rand(20, generator=draw) * 0.2, torch.rand(20, generator=draw) * 0.2 + 0.7
    limit = float(otsu(torch.cat([low, high])))
    assert float(low.max()) < limit <= float(high.min())
    assert bool(otsu(torch.ones(4)).isfinite())


def test_exciting_pulls_at_the_most_neglected_only() -> None:
    control = bound(Excite(("a", "b"), renorm="none", smooth=False), 2)
    a, b = (x.requires_grad_() for x in some(2))
    b = b * 0.5
    found = loss(control, [a, b])
    torch.testing.assert_close(found, 1 - b.max())
    slopes = torch.autograd.grad(found, [a], allow_unused=True)[0]
    assert slopes is None or not bool(slopes.any())
    patch = torch.zeros(GRID, dtype=torch.float64)
    patch[:3, :3] = 1  # the smallest flat patch whose smoothed peak is 1
    smooth = bound(Excite(("a",), renorm="none"), 1)
    assert float(loss(smooth, [patch])) == pytest.approx(0, abs=1e-12)


def test_exciting_is_refined_at_three_steps_of_fifty_as_its_authors_do() -> None:
    control = Excite(("a",))
    asked = torch.tensor([0.96, 0.94, 0.3, 0.1])
    wants = {i: control.again(asked, step(i, 50), 0).tolist() for i in range(50)}
    assert wants.pop(0) == [True, False, False, False]
    assert wants.pop(10) == [True, True, False, False]
    assert wants.pop(20) == [True, True, True, False]
    assert not any(any(want) for want in wants.values())
    assert not bool(control.again(asked, step(0, 50), 20).any())
    active = [i for i in range(50) if control.rate(step(i, 50))]
    assert active == list(range(25))
    assert control.rate(step(0, 50)) == 20
    assert control.rate(step(24, 50)) == pytest.approx(20 * (1 - 0.5 * 24 / 49) ** 0.5)


def test_empty_maps_give_finite_losses() -> None:
    nothing = [torch.zeros(GRID, dtype=torch.float64) for _ in range(2)]
    for control in (Segregate(("a", "b"), **RAW), Excite(("a", "b"), renorm="none")):
        assert bool(loss(bound(control, 2), nothing).isfinite())


def test_no_move_outside_of_the_interval() -> None:
    control = Retain(("a",), during=Interval(0.2, 0.5), step_size=0.25, weight=2.0)
    assert [control.rate(step(i)) for i in (1, 2, 4, 5)] == [0.0, 0.5, 0.5, 0.0]
    assert Retain(("a",), step_size=3.0, relative=False).rate(step(0, 1)) == 3.0
    for a_star in (Segregate(("a", "b")), Retain(("a",))):
        assert [a_star.rate(step(i)) for i in range(10)] == [0.05] * 3 + [0.0] * 7
