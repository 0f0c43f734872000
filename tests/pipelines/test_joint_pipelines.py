"""Prompt-to-Prompt as a pipeline of the joint-attention families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from attention_studio.pipelines import (
    FluxPromptToPromptPipeline,
    QwenImagePromptToPromptPipeline,
    StableDiffusion3PromptToPromptPipeline,
)
from attention_studio.processors import Interval, KeepLayout, LocalBlend, ReplaceWords
from attention_studio.processors.attach import attach, attached

from ..processors.joint_pipelines import LENGTH, PROMPTS, SIDE, flux, qwen, sd3

CASES: dict[str, tuple[Callable[..., Any], Any]] = {
    "flux": (flux, FluxPromptToPromptPipeline),
    "sd3": (sd3, StableDiffusion3PromptToPromptPipeline),
    "qwen": (qwen, QwenImagePromptToPromptPipeline),
}
BLEND = ("cat", "tiger")


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_controls_by_hand(name: str) -> None:
    """A negative prompt as one text, guidance, a blend; the source is stock, and so it stays. The
    text is followed for less long than by a UNet's edits."""
    make, ours = CASES[name]
    pipe = ours.from_pipe(make())
    pipe.set_progress_bar_config(disable=True)
    call = {
        "num_inference_steps": 2,
        "height": SIDE,
        "width": SIDE,
        "output_type": "pt",
        "guidance_scale" if name == "sd3" else "true_cfg_scale": 3.0,
        **({} if name == "qwen" else {"max_sequence_length": LENGTH}),
    }
    out = pipe(PROMPTS, blend=BLEND, seed=3, negative_prompt="sand", **call)
    assert attached(pipe) is None
    stock = ours.__bases__[1].__call__
    seeds = [torch.Generator().manual_seed(3) for _ in PROMPTS]
    call |= {"negative_prompt": ["sand"] * 2}
    base = stock(pipe, PROMPTS, generator=seeds, **call).images
    seeds = [torch.Generator().manual_seed(3) for _ in PROMPTS]
    with attach(pipe, [ReplaceWords(Interval(0.0, 0.4)), KeepLayout(), LocalBlend(BLEND)]):
        wanted = stock(pipe, PROMPTS, generator=seeds, **call).images
    assert torch.equal(out.images, wanted)
    assert torch.equal(out.images[0], base[0]) and not torch.equal(out.images[1], base[1])
    assert len(out.receipts) == 1 and out.receipts[0].changed_inside > 0
    assert (1, "tiger") in out.maps.words
    given = torch.randn(1, *((4, 16, 16) if name == "sd3" else (64, 16)))
    call |= {"output_type": "latent"}
    found = pipe(PROMPTS, latents=given, **call).images
    assert torch.equal(
        found[0], stock(pipe, PROMPTS, latents=given.repeat_interleave(2, 0), **call).images[0]
    )
