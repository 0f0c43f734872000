"""Concepts: which tokens they are, how their maps are read, and where regions lie on a grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import BoxLayout, Excite, Prompts, Retain, Segregate
from attention_studio.processors.control import Control
from attention_studio.processors.controls.concepts import Concepts, Reading, smoothed
from attention_studio.processors.controls.regions import coverage, covered
from attention_studio.processors.prompts import TextBlock
from attention_studio.processors.recorder import Maps

from .conftest import tokenizer

GRID = (5, 7)


def prompts(*texts: str) -> Prompts:
    return Prompts(texts, len(texts), 1, (TextBlock("clip", (tokenizer(),), 77),))


def some(count: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.rand(GRID, generator=draw, dtype=torch.float64) for _ in range(count)]


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
        (
            Segregate(("a", "b"), step_size=20.0),
            "a b",
            "step_size: came 20.0; expected a part of the latents' length, at most 1",
        ),
        (BoxLayout({"a": (0, 0, 1, 1)}, step_size=1.1), "a b", "step_size: came 1.1"),
        (Excite(("a",), relative=True), "a b", "relative=False takes it as Attend-and-Excite's"),
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
