"""The losses of composition on made-up maps: what the formulas must give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Interval, Prompts, Step
from attention_studio.processors.control import Control
from attention_studio.processors.controls.concepts import Concepts, Reading, smoothed
from attention_studio.processors.controls.excite import Excite
from attention_studio.processors.controls.overlap import overlap
from attention_studio.processors.controls.regions import coverage, covered
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


def test_the_released_kernel() -> None:
    dot = torch.zeros(1, 5, 5, dtype=torch.float64)
    dot[0, 2, 2] = 1
    found = smoothed(dot)[0]
    weights = [float(found[2, 2]), float(found[2, 1]), float(found[1, 1])]
    assert weights == pytest.approx([0.3319, 0.1221, 0.0449], abs=5e-5)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(smoothed(torch.ones(1, 4, 6)), torch.ones(1, 4, 6))
    with pytest.raises(ValueError, match=r"smooth: came maps of \(1, 4\); expected 2 rows"):
        smoothed(torch.ones(1, 1, 4))


def test_sharp_and_linear_maps() -> None:
    """Sharp as in Attend-and-Excite: a softmax over 75 of the 77 positions."""
    found = Concepts.find("excite", ("a", "c"), prompts("a b c"))
    assert found.texts == ((1, 2, 3),) and found.kept == (tuple(range(1, 76)),)
    draw = torch.Generator().manual_seed(0)
    columns = torch.rand(77, *GRID, generator=draw, dtype=torch.float64).softmax(0)
    every = Maps({(GRID, 0, f"token {t}", 0): columns[t] for t in range(77)})
    sharp = found.maps(every, (0, 0), Reading("sharp", smooth=False, spatial="none"))
    wanted = (100 * columns[1:76]).softmax(0)[[0, 2]]
    torch.testing.assert_close(sharp, wanted)
    words = columns[1:4].sum(0)
    some = {(GRID, 0, f"token {t}", 0): columns[t] for t in (1, 3)}
    linear = Maps({**some, (GRID, 0, "all words", 0): words})
    got = found.maps(linear, (0, 0), Reading("linear", smooth=False, spatial="none"))
    torch.testing.assert_close(got, columns[[1, 3]] / words)
    assert {w.text for w in found.columns("linear").words} == {"token 1", "token 3", "all words"}
    assert len(found.columns("sharp").words) == 75


@pytest.mark.parametrize(("reduce", "take"), [("mean", 0), ("max", 1), ("first", 2)])
def test_a_concept_of_several_tokens(reduce: Any, take: int) -> None:
    one, two = some(2)
    found = Reading("none", smooth=False, spatial="none", reduce=reduce)
    wanted = ((one + two) / 2, torch.maximum(one, two), one)[take]
    torch.testing.assert_close(found.concepts([torch.stack([one, two])])[0], wanted)


def test_empty_maps_give_finite_losses() -> None:
    nothing = [torch.zeros(GRID, dtype=torch.float64) for _ in range(2)]
    for control in (Segregate(("a", "b"), **RAW), Excite(("a", "b"), renorm="none")):
        assert bool(loss(bound(control, 2), nothing).isfinite())


def test_boxes_and_masks_on_a_grid() -> None:
    box = coverage((0.25, 0.0, 0.75, 0.5), (4, 8), "box")
    wanted = torch.zeros(4, 8)
    wanted[:2, 2:6] = 1
    assert torch.equal(box, wanted)
    assert torch.equal(
        coverage((0.0, 0.0, 1 / 16, 1.0), (1, 8), "box")[0, :2], torch.tensor([0.5, 0])
    )
    assert int(covered((0.4, 0.4, 0.41, 0.41), (4, 4), "box").sum()) == 1
    painted = torch.zeros(40, 80)
    painted[:20, 20:60] = 1
    assert torch.equal(coverage(painted, (4, 8), "mask"), wanted)
    for region, message in [
        ((0.5, 0.0, 0.5, 1.0), "expected 0 <= left < right <= 1"),
        ((0.0, 0.0, 2.0, 1.0), "fractions of the picture"),
        ((0.0, 0.0, 1.0), "expected .left, top, right, bottom."),
        (torch.ones(3, 4, 4), r"mask of shape \[3, 4, 4\]"),
        (torch.ones(4, 4) * 2, "values in .0, 1."),
        (torch.zeros(4, 8), "an empty mask"),
        (torch.ones(64, 64), "a mask of 64 x 64; expected the shape of the picture, 4 to 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            coverage(region, (4, 8), "masks: 'a'")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("control", "text", "message"),
    [
        (Segregate(("a",)), "a b", "segregate needs two or more"),
        (Segregate(("a", "a")), "a b", r"'a' and 'a' share the tokens \[1\] of prompt 'a b'"),
        (Segregate(("a", "a b")), "a b", "expected concepts apart from each other"),
        (Segregate(("a", "fox")), "a b", "'fox' is not in the prompt 'a b'"),
        (
            Segregate((1, 3)),
            "a b",
            "came position 3 for prompt 0; expected different ones of 1 to 2",
        ),
        (Segregate((0, 1)), "a b", "came position 0 for prompt 0"),
        (Segregate((1, ())), "a b", "expected a word, .word, occurrence. or token positions"),
        (Segregate((1, (2, 2))), "a b", "expected different ones"),
        (Segregate((1, True)), "a b", "expected a word, .word, occurrence. or token positions"),
        (Segregate(("a", ("b", 2))), "a b", "2 was asked for, but 'b' stands once"),
        (Segregate(("a", "b"), touching=(("a", "c"),)), "a b", "touching: came 'c'"),
        (Segregate(("a", "b"), step_size=-1), "a b", "step_size: came -1"),
        (Segregate(("a", "b"), renorm="soft"), "a b", "renorm: came 'soft'"),  # type: ignore[arg-type]
        (Retain(()), "a b", "came ..; expected words of the prompt for retain"),
        (Retain(("a",), masks={"b": (0, 0, 1, 1)}), "a b", "masks: came one for 'b'"),
        (Retain(("a",), threshold=0.0), "a b", "threshold: came 0.0"),
        (Retain(("a",), keep=1.0), "a b", "keep, settled: came 1.0"),
        (Excite(("a",), thresholds=((0.0, 2.0),)), "a b", "thresholds: came"),
        (Excite("a"), "a b", "came 'a'; expected words of the prompt"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_said(control: Control, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        control.bind(prompts(text))


def test_a_word_that_comes_twice_is_one_concept_or_two() -> None:
    twice = prompts("a cat and a cat")
    both = Concepts.find("retain", ("cat",), twice)
    first, second = Concepts.find("retain", (("cat", 1), ("cat", 2)), twice).of[0]
    assert set(both.of[0][0].tokens) == {*first.tokens, *second.tokens}
    assert Segregate((("cat", 1), ("cat", 2))).bind(twice).found is not None


def test_prompts_with_one_of_the_concepts_are_left_alone() -> None:
    control = Segregate(("a", "b")).bind(prompts("a b", "a c"))
    assert control.found is not None and [len(own) for own in control.found.of] == [2, 0]
    with pytest.raises(ValueError, match="no prompt has two of"):
        Segregate(("a", "b")).bind(prompts("a", "b"))


def test_embeddings_alone_take_positions_alone() -> None:
    given = Prompts(None, 1, 1, (TextBlock("clip", (tokenizer(),), 77),))
    assert Segregate((1, 2), renorm="none").bind(given).found is not None
    with pytest.raises(ValueError, match="renorm: 'linear' needs to know the prompt"):
        Segregate((1, 2)).bind(given)
    with pytest.raises(ValueError, match="segregate works on words, and only embeddings came"):
        Segregate(("a", "b")).bind(given)


def test_no_move_outside_of_the_interval() -> None:
    control = Retain(("a",), during=Interval(0.2, 0.5), step_size=3.0, relative=True)
    assert [control.rate(step(i)) for i in (1, 2, 4, 5)] == [0.0, 3.0, 3.0, 0.0]
    assert Retain(("a",), step_size=3.0).rate(step(0, 1)) == 3.0
