"""Grounding beside stock pipelines: sizes, batches, words of several tokens, nothing left over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

from attention_studio.pipelines import ground, ground_many
from attention_studio.pipelines.ground_inputs import condition_plainly, seen_size
from attention_studio.pipelines.grounding import Grounding
from attention_studio.processors import Interval
from attention_studio.processors.grounding import GroundRules
from attention_studio.processors.grounding.region import CUT, CUT_JOINT

from ..processors.conftest import SIDE, sd, sdxl
from ..processors.joint_pipelines import LENGTH, flux, qwen, sd3

MAKE: dict[str, Any] = {"sd": sd, "sdxl": sdxl, "sd3": sd3, "flux": flux}


def picture(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def same(a: Grounding, b: Grounding) -> None:
    torch.testing.assert_close(a.heat, b.heat, atol=1e-5, rtol=1e-4)
    assert a.point_px == b.point_px
    assert (a.mask == b.mask).float().mean() > 0.99


@pytest.mark.parametrize("family", MAKE)
def test_a_map_of_the_picture_s_shape_and_a_pipeline_left_as_it_was(family: str) -> None:
    pipe = MAKE[family]()
    scheduler, denoiser = pipe.scheduler, getattr(pipe, "unet", None) or pipe.transformer
    before = dict(denoiser.attn_processors)
    found = ground(pipe, picture(96, 64), "the red tiger on grass", size=(32, 48))
    assert found.heat.shape[1] * 2 == found.heat.shape[0] * 3
    assert found.mask.shape == (64, 96)
    assert found.mask[found.point_px[1], found.point_px[0]]
    left, top, right, bottom = found.box_px
    assert 0 <= left < right <= 96
    assert 0 <= top < bottom <= 64
    assert set(found.words) == {"red", "tiger"}
    total = torch.stack(list(found.words.values())).sum(0)
    torch.testing.assert_close(found.heat, total)
    assert 0 <= float(found.heat.min()) <= float(found.heat.max()) <= 1 + 1e-5
    assert pipe.scheduler is scheduler
    assert all(denoiser.attn_processors[name] is old for name, old in before.items())
    assert not denoiser._forward_pre_hooks
    same(found, ground(pipe, picture(96, 64), "the red tiger on grass", size=(32, 48)))


@pytest.mark.parametrize(("family", "cut"), [("sd", CUT), ("flux", CUT_JOINT)])
def test_the_mask_begins_where_it_suits_the_model(family: str, cut: float) -> None:
    usual, said, other = (
        ground(MAKE[family](), picture(), "a cat", size=(32, 48), cut=part).mask
        for part in (None, cut, 0.05)
    )
    assert torch.equal(usual, said) and not torch.equal(usual, other)


def test_a_flux_looks_at_its_autoencoder_s_size_and_no_further_than_its_tokenizer() -> None:
    pipe = flux()
    assert seen_size(pipe, picture()) == (20, SIDE)
    assert condition_plainly(pipe, ["a cat"], (SIDE, SIDE)).cond.shape[1] == LENGTH


def test_a_word_that_stands_twice_has_the_sum_of_both() -> None:
    found = ground(flux(), picture(), "a cat and a cat", rules=GroundRules.plain(), size=(32, 32))
    assert set(found.words) == {"a", "cat", "and"}
    torch.testing.assert_close(found.heat, torch.stack(list(found.words.values())).sum(0))


@pytest.mark.parametrize("family", MAKE)
def test_each_row_of_a_batch_is_what_it_is_alone(family: str) -> None:
    pipe, pictures = MAKE[family](), [picture(seed=0), picture(seed=1)]
    both = ground_many(pipe, pictures, ["a cat", "the red dog"], size=(32, 32))
    for found, shown, expression in zip(both, pictures, ("a cat", "the red dog"), strict=True):
        same(found, ground(pipe, shown, expression, size=(32, 32)))
    assert not torch.allclose(both[0].heat, both[1].heat)


def test_the_same_words_twice_are_two_maps() -> None:
    found = ground_many(flux(), [picture(), picture(seed=1)], ["a cat", "a cat"], size=(32, 32))
    assert not torch.allclose(found[0].heat, found[1].heat)


def test_any_scheduler_of_a_unet_gives_the_same_map() -> None:
    pipe = sd()
    wanted = ground(pipe, picture(), "a cat", size=(32, 32))
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    same(ground(pipe, picture(), "a cat", size=(32, 32)), wanted)


def test_several_levels_of_noise_are_averaged() -> None:
    pipe, options = flux(), {"size": (32, 32), "rules": GroundRules.plain()}
    low, high, both = (
        ground(pipe, picture(), "a cat", noise=noise, **options)
        for noise in ((0.2,), (0.8,), (0.2, 0.8))
    )
    torch.testing.assert_close(both.heat, (low.heat + high.heat) / 2)
    assert not torch.allclose(low.heat, high.heat)


def test_blocks_choose_where_a_transformer_is_read() -> None:
    pipe = flux()
    first, last = (
        ground(pipe, picture(), "a cat", size=(32, 32), blocks=part)
        for part in (Interval(0.0, 0.5), Interval(0.5, 1.0))
    )
    assert not torch.allclose(first.heat, last.heat)
    with pytest.raises(ValueError, match=r"blocks: came .*at least one block"):
        ground(pipe, picture(), "a cat", size=(32, 32), blocks=Interval(0.9, 0.95))


def test_a_segmenter_gets_picture_and_point_and_makes_mask_and_box() -> None:
    asked = []

    def segment(shown: Image.Image, point: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        asked.append((shown.size, point))
        mask = np.zeros((shown.height, shown.width), bool)
        mask[3:5, 7:11] = True
        return mask

    found = ground(sd(), picture(), "a cat", size=(32, 48), segment=segment)
    assert asked == [((48, 32), found.point_px)]
    assert found.box_px == (7, 3, 11, 5)
    assert int(found.mask.sum()) == 8


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 4), bool), "expected a bool mask of the picture's"),
        (np.ones((32, 48), np.float32), "segment: gave float32"),
        (np.zeros((32, 48), bool), "segment: found nothing at"),
    ],
)
def test_a_segmenter_s_mask_is_checked(mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ground(sd(), picture(), "a cat", size=(32, 48), segment=lambda *_: mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (30, 32)}, "size: came .* multiples of 4"),
        ({"noise": ()}, "noise: came"),
        ({"noise": (1.0,)}, "noise: came"),
        ({"cut": 1.0}, "cut: came"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ground(sd(), picture(), "a cat", **options)


def test_what_cannot_be_grounded_says_so() -> None:
    with pytest.raises(ValueError, match="pictures, expressions: came 1 and 2"):
        ground_many(sd(), [picture()], ["a cat", "a dog"])
    with pytest.raises(ValueError, match="are not read by QwenImagePipeline yet"):
        ground(qwen(), picture(), "a cat")
    with pytest.raises(ValueError, match="text encoder reads 77 tokens"):
        ground(sd(), picture(), "a cat " * 40)


def test_the_picture_is_seen_at_its_own_shape() -> None:
    found = ground(sd(), picture(80, 40), "a cat")  # 32 px were the longer side in training
    assert found.heat.shape[1] == 2 * found.heat.shape[0]
