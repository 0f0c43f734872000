"""The packaged judge against the truth of scenes it never saw, and what it accepts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from attention_studio.emoji import Plan, expect, judge, judge_many, score
from attention_studio.emoji.judge_net import WEIGHTS_FILE, JudgeNet
from attention_studio.emoji.objects import components
from attention_studio.emoji.plan import Thing
from attention_studio.emoji.render import render
from attention_studio.emoji.train.check_judge import check, check_broken

TWO = Plan(
    things=(
        Thing("cat", "blue", None, (0.05, 0.3, 0.45, 0.7)),
        Thing("house", None, None, (0.55, 0.3, 0.95, 0.7)),
    ),
    relation="left of",
    background="grass",
    style=None,
    caption="a blue cat to the left of a house on grass",
    texture=7,
)


def test_figures_on_rendered_scenes() -> None:
    figures = check(60, seed=1)
    assert figures.noun_f1 >= 0.95
    assert figures.mask_iou >= 0.9
    assert figures.colour >= 0.94
    assert figures.background >= 0.95


def test_broken_things_count_as_absent() -> None:
    rates = check_broken(12, seed=1)
    assert np.mean(list(rates.values())) >= 0.85, rates


class _BrightIsThing(nn.Module):
    """Stands in for the edge head."""

    def forward(self, images: Tensor, decoded: Tensor, nouns: Tensor) -> Tensor:
        return 40 * images[:, 0]


def test_an_edge_lies_between_any_two_pixels() -> None:
    net = JudgeNet().eval()
    net.edges = _BrightIsThing()
    picture = np.zeros((1, 128, 128, 3), np.uint8)
    picture[:, :, 57:] = 255  # odd: inside a cell of the first look
    seen = net.answer(picture)
    np.testing.assert_allclose(seen.nouns.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(seen.nouns[:, 0, :, :57], 1, atol=1e-5)
    np.testing.assert_allclose(seen.nouns[:, 0, :, 57:], 0, atol=1e-5)


def test_a_scene_in_full() -> None:
    drawn = render(TWO)
    seen = judge(drawn.image)
    assert set(seen.nouns) == {"cat", "house"}
    assert seen.colours[seen.nouns.index("cat")] == "blue"
    assert (seen.background, seen.style) == ("grass", None)
    assert seen.masks.shape == (2, 128, 128)
    assert score(seen, expect(TWO.caption)).ok


def test_the_same_noun_twice() -> None:
    first, second = TWO.things
    twice = Plan((first, Thing("cat", None, None, second.box)), None, "snow", None, "", 3)
    assert judge(render(twice).image).nouns == ("cat", "cat")


def test_an_empty_place_holds_nothing() -> None:
    seen = judge(render(Plan((), None, "beach", None, "", 5)).image)
    assert seen.nouns == ()
    assert seen.masks.shape == (0, 128, 128)
    assert seen.background == "beach"


@pytest.mark.parametrize("size", [96, 256])
def test_masks_have_the_size_of_the_picture(size: int) -> None:
    drawn = render(TWO, size)
    seen = judge(Image.fromarray(drawn.image))
    assert seen.masks.shape == (2, size, size)
    assert set(seen.nouns) == {"cat", "house"}


def test_many_pictures_are_judged_as_one() -> None:
    drawn = render(TWO).image
    alone, together = judge(drawn), judge_many([Image.fromarray(drawn)] * 18)
    assert len(together) == 18
    assert all(scene.nouns == alone.nouns for scene in together)
    assert all((scene.masks ^ alone.masks).mean() < 1e-3 for scene in together)
    assert judge_many([]) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 64, 3), np.float32), "expected .*uint8"),
        (np.zeros((64, 64), np.uint8), r"\[64, 64\]"),
        (np.zeros((16, 64, 3), np.uint8), "64 x 16.*at least 32"),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(image)


def test_a_path_is_refused() -> None:
    with pytest.raises(TypeError, match="got a str"):
        judge("cat.png")  # type: ignore[arg-type]


def test_the_weights_are_small(root) -> None:
    file = root / "studio" / "emoji" / "weights" / "judge" / WEIGHTS_FILE
    assert file.stat().st_size <= 3_000_000


def test_importing_the_world_does_not_import_torch() -> None:
    code = (
        "import sys, attention_studio.emoji as e; "
        "assert callable(e.judge) and callable(e.score) and callable(e.render); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("density", [0.0, 0.3, 0.55, 0.8, 1.0])
def test_components_against_a_flood_fill(density: float) -> None:
    mask = np.random.default_rng(0).random((30, 25)) < density
    labels = components(mask)
    flooded = _flood(mask)
    pairs = set(zip(labels.ravel().tolist(), flooded.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    assert ((labels > 0) == mask).all()


def _flood(mask: np.ndarray) -> np.ndarray:
    labels = np.zeros(mask.shape, int)
    for start in zip(*mask.nonzero(), strict=True):
        todo = [start]
        number = labels.max() + 1 if not labels[start] else 0
        while todo and number:
            y, x = todo.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if inside and mask[y, x] and not labels[y, x]:
                labels[y, x] = number
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return labels
