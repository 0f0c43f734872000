"""Coarse to fine: sizes grow, each picture is drawn over the one before, the pipeline stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxImg2ImgPipeline
from PIL.Image import Image, Resampling

from attention_studio.pipelines.coarse_to_fine import Finer, draw_finer
from attention_studio.processors import LocalWindow

from ..processors.conftest import Studio
from ..processors.joint_pipelines import LENGTH, JointStudio
from ..processors.test_stock import traces


def apart(a: Image, b: Image) -> float:
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


@pytest.mark.parametrize("name", ["flux", "sd3", "qwen"])
def test_each_size_is_drawn_over_the_one_before(name: str) -> None:
    studio = JointStudio(name)
    studio(guidance=1.0)  # diffusers leaves a trace of its own in a first call
    before = traces(studio.pipe)
    window = LocalWindow(3, scale="proportional", ntk=10 if name == "flux" else 1)
    settings: dict[str, Any] = {"steps": 3, "finer_steps": 4, "max_sequence_length": LENGTH}
    if name == "qwen":
        del settings["max_sequence_length"]
    steps = [Finer((64, 32), 0.5, [window]), Finer((96, 48), 0.25, [window])]
    first, second, third = draw_finer(studio.pipe, "a cat", (32, 16), steps, **settings)
    assert [image.size for image in (first, second, third)] == [(16, 32), (32, 64), (48, 96)]
    assert traces(studio.pipe) == before
    again = draw_finer(studio.pipe, "a cat", (32, 16), steps, **settings)
    assert all(apart(a, b) == 0 for a, b in zip(again, (first, second, third), strict=True))
    slight = [Finer((64, 32), 0.25, [window])]
    weaker = draw_finer(studio.pipe, "a cat", (32, 16), slight, **settings)[1]
    assert apart(weaker, second) > 0
    dense = draw_finer(studio.pipe, "a cat", (32, 16), [Finer((64, 32), 0.5)], **settings)[1]
    assert apart(dense, second) > 0


def test_it_is_the_stock_pipelines_run_one_after_the_other() -> None:
    studio = JointStudio("flux")
    found = draw_finer(
        *(studio.pipe, "a cat", (32, 32), [Finer((64, 64), 0.5)]),
        steps=2,
        finer_steps=4,
        seed=5,
        max_sequence_length=LENGTH,
    )
    asked: dict[str, Any] = {
        "prompt": "a cat",
        "negative_prompt": "",
        "true_cfg_scale": 3.5,
        "max_sequence_length": LENGTH,
    }
    noise = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    small = studio.pipe(
        **asked, height=32, width=32, num_inference_steps=2, generator=noise[0]
    ).images[0]
    assert apart(small, found[0]) == 0
    over = FluxImg2ImgPipeline(**studio.pipe.components)
    over.scheduler = type(over.scheduler).from_config(
        over.scheduler.config, use_dynamic_shifting=False
    )
    over.set_progress_bar_config(disable=True)
    large = over(
        **asked,
        image=small.resize((64, 64), Resampling.LANCZOS),
        strength=0.5,
        height=64,
        width=64,
        num_inference_steps=4,
        generator=noise[1],
    ).images[0]
    assert apart(large, found[1]) == 0


def test_unets_and_tiles_too() -> None:
    studio = Studio("sd")
    size = studio.pipe.unet.config.sample_size * studio.pipe.vae_scale_factor
    steps = [Finer((2 * size, 2 * size), 0.5, tiled=True)]
    found = draw_finer(studio.pipe, "a cat", (size, size), steps, steps=2, finer_steps=4)
    assert found[1].size == (2 * size, 2 * size)
    assert not studio.pipe.vae.use_tiling


def test_what_does_not_fit_is_one_sentence() -> None:
    studio = JointStudio("flux")
    for size, said in (((64, 32), "the same proportions"), ((65, 65), "multiples of 4 pixels")):
        with pytest.raises(ValueError, match=said):
            draw_finer(
                *(studio.pipe, "a cat", (32, 32), [Finer(size)]),
                steps=1,
                max_sequence_length=LENGTH,
            )
    with pytest.raises(ValueError, match=r"strength: came 0\.04 of 20 steps, which leaves none"):
        draw_finer(
            *(studio.pipe, "a cat", (32, 32), [Finer((64, 64), 0.04)]),
            steps=1,
            max_sequence_length=LENGTH,
        )
    with pytest.raises(ValueError, match="strength: came 0"):
        Finer((64, 64), 0)
