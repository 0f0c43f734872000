"""Which schedulers carry an edit of the latents on, and when; each was measured.

ours: with the network frozen, an edit at any step must reach the end at 0.8 or more of what the
differential equation says (tests/processors/test_schedulers.py). PNDM, UniPC, SA-Solver and
DPM++ singlestep keep a history of samples and throw the edit away.
"""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)

from .family import Keeps

__all__ = ["COMPLETED_STEPS", "EVERY_STEP", "keeps"]

EVERY_STEP: tuple[type, ...] = (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
)
COMPLETED_STEPS: tuple[type, ...] = (
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
)


def keeps(scheduler: Any) -> Keeps:
    """What is known of the scheduler; one that was not measured never keeps an edit."""
    if isinstance(scheduler, EVERY_STEP):
        return Keeps.EVERY_STEP
    return Keeps.COMPLETED_STEPS if isinstance(scheduler, COMPLETED_STEPS) else Keeps.NEVER
