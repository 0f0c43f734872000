"""A loop made of `predict` is the stock loop, and controls act in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from attention_studio.pipelines.predict import Conditioning, predict
from attention_studio.processors import Control, KeepLayout, ReplaceWords, Step
from attention_studio.processors.attach import attach, attached

from .conftest import PROMPTS, STEPS, Studio


def loop(studio: Studio, controls: Sequence[Control] | None, guidance: float) -> Tensor:
    """What the stock pipeline does after its prompts are encoded."""
    pipe = studio.pipe
    start = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    latents = start.expand(2, -1, -1, -1) * pipe.scheduler.init_noise_sigma
    block = nullcontext() if controls is None else attach(pipe, controls)
    with torch.no_grad(), block:
        cond, uncond = pipe.encode_prompt(PROMPTS, "cpu", 1, guidance > 1)
        told = Conditioning(cond, uncond)
        pipe.scheduler.set_timesteps(STEPS)
        for i, t in enumerate(pipe.scheduler.timesteps):
            noise = predict(pipe, latents, Step(i, i, STEPS, t), told, guidance)
            latents = pipe.scheduler.step(noise, t, latents, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_the_loop_is_the_pipeline_s(guidance: float) -> None:
    studio = Studio("sd")
    assert torch.equal(loop(studio, None, guidance), studio(guidance=guidance))
    controls = [ReplaceWords(), KeepLayout()]
    with attach(studio.pipe, controls) as run:
        assert attached(studio.pipe) is run
        wanted = studio(guidance=guidance)
    assert attached(studio.pipe) is None
    assert torch.equal(loop(studio, controls, guidance), wanted)


def test_loops_backwards_tell_the_controls_the_step() -> None:
    seen: list[int] = []

    class Watch(Control):
        def acts(self, site: object, step: Step) -> bool:
            if seen[-1:] != [step.index]:
                seen.append(step.index)
            return False

    studio = Studio("sd")
    with torch.no_grad(), attach(studio.pipe, [Watch()]):
        cond, _ = studio.pipe.encode_prompt(PROMPTS, "cpu", 1, False)
        latents = torch.zeros(2, 4, 16, 16)
        for i in (2, 1, 0):
            predict(studio.pipe, latents, Step(i, i, 3, torch.tensor(10 * i)), Conditioning(cond))
    assert seen == [2, 1, 0]
