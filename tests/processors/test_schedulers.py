"""The frozen-network law: an edit of the latents reaches the end as the equation says.

With the network's output constant, x_t/α_t − (σ_t/α_t) ε is the same for every t, so an edit δ
made where the signal's scale is α_k ends as δ · α_end/α_k. A scheduler that is allowed must bring
0.8 or more of that to the end; others are refused.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from diffusers import (
    PNDMScheduler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from attention_studio.processors import Control, Step
from attention_studio.processors.attach import attach
from attention_studio.processors.families.family import Keeps
from attention_studio.processors.families.schedulers import COMPLETED_STEPS, EVERY_STEP, keeps
from attention_studio.processors.recorder import Maps

from .conftest import PROMPTS, Studio

STEPS = 8
PUSHED = (0, 3, STEPS - 2, STEPS - 1)  # the step after which each row of a run is edited
DELTA = 0.5
FLOW = [s for s in EVERY_STEP + COMPLETED_STEPS if "FlowMatch" in s.__name__]
DIFFUSION = [s for s in EVERY_STEP + COMPLETED_STEPS if "FlowMatch" not in s.__name__]


@dataclass(frozen=True, eq=False)
class Push(Control):
    """Adds a constant to the latents of each row after a step of its own."""

    at: tuple[int, ...] = PUSHED

    def edit_latents(self, latents: Tensor, maps: Maps, step: Step) -> Tensor:
        now = torch.tensor([step.index == at for at in self.at])
        return latents + DELTA * now.view(-1, 1, 1, 1)


def pipeline(scheduler: Any) -> Studio:
    """The tiny pipeline whose network answers zero."""
    studio = Studio("sd")
    torch.nn.init.zeros_(studio.pipe.unet.conv_out.weight)
    torch.nn.init.zeros_(studio.pipe.unet.conv_out.bias)
    settings = {**studio.pipe.scheduler.config, "skip_prk_steps": True}
    studio.pipe.scheduler = scheduler.from_config(settings)
    return studio


def reached(studio: Studio) -> list[float]:
    """Of the edit of each row, the part that is left at the end; four latents a side are enough."""
    call = {"num_inference_steps": STEPS, "guidance": 1.0, "height": 8, "width": 8}
    base = studio(PROMPTS[:1] * len(PUSHED), **call)
    with attach(studio.pipe, [Push()]):
        out = studio(PROMPTS[:1] * len(PUSHED), **call)
    return [float(moved.mean()) / DELTA for moved in out - base]


def signal(scheduler: Any, at: int) -> float:
    """α after the step `at`, in the scheduler's own scale of the latents; 1 where that has none."""
    if hasattr(scheduler, "sigmas") and not hasattr(scheduler, "alpha_t"):
        return 1.0  # x itself is x_0 + σ ε
    steps = scheduler.timesteps
    if at + 1 >= len(steps):
        return 1.0
    return float(scheduler.alphas_cumprod[int(steps[at + 1])] ** 0.5)


@pytest.mark.parametrize("scheduler", DIFFUSION, ids=lambda s: s.__name__)
def test_edits_reach_the_end(scheduler: Any) -> None:
    studio = pipeline(scheduler)
    *found, last = reached(studio)
    for at, part in zip(PUSHED, found, strict=False):
        wanted = 1 / signal(studio.pipe.scheduler, at)
        assert 0.8 * wanted <= part <= 1.25 * wanted, (at, part, wanted)
    assert last == pytest.approx(1.0, abs=1e-5)  # after the last step it is the end


def flowed(studio: Studio, velocity: Tensor, controls: list[Control] | None) -> Tensor:
    """The loop of a flow-matching pipeline; those of UNets ask schedulers for more than these have.

    dx/dσ = v: what the network answers is left aside for a velocity that stays, from noise at 0.
    """
    pipe = studio.pipe
    block = nullcontext() if controls is None else attach(pipe, controls)
    with torch.no_grad(), block:
        cond, _ = pipe.encode_prompt(PROMPTS[:1] * len(velocity), "cpu", 1, False)
        pipe.scheduler.set_timesteps(STEPS)
        pipe._num_timesteps = len(pipe.scheduler.timesteps)
        latents = torch.zeros_like(velocity)
        for t in pipe.scheduler.timesteps:
            pipe.unet(latents, t, cond)
            latents = pipe.scheduler.step(velocity, t, latents, return_dict=False)[0]
    return latents


@pytest.mark.parametrize("scheduler", FLOW, ids=lambda s: s.__name__)
def test_edits_of_a_flow_reach_the_end_whole(scheduler: Any) -> None:
    """With a constant velocity the equation carries an edit on as it is."""
    assert len(FLOW) == 2
    studio = Studio("sd")
    studio.pipe.scheduler = scheduler()
    draw = torch.Generator().manual_seed(0)
    velocity = torch.randn(len(PUSHED), 4, 4, 4, generator=draw)
    base = flowed(studio, velocity, None)
    wanted = -velocity * studio.pipe.scheduler.sigmas[0]
    rounding = {"atol": 1e-4, "rtol": 1e-5}  # fp32 of theirs: Heun takes v from differences of x
    torch.testing.assert_close(base, wanted, **rounding)
    assert torch.equal(flowed(studio, velocity, [Push((99,) * len(PUSHED))]), base)
    out = flowed(studio, velocity, [Push()])
    torch.testing.assert_close(out - base, torch.full_like(base, DELTA), **rounding)


@pytest.mark.parametrize("scheduler", [PNDMScheduler, UniPCMultistepScheduler, SASolverScheduler])
def test_others_are_refused(scheduler: Any) -> None:
    studio = pipeline(scheduler)
    assert keeps(studio.pipe.scheduler) is Keeps.NEVER
    with (
        pytest.raises(ValueError, match="throws away what Push does"),
        attach(studio.pipe, [Push()]),
    ):
        pass
