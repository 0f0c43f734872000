"""Edits of latents under a scheduler that would throw them away: DDIM steps in for the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from diffusers import DDIMScheduler

from ..processors.control import Control
from ..processors.families import Keeps, family_of
from ..processors.step import LatentEdit, Objective

__all__ = ["carrying"]


@contextmanager
def carrying(pipe: Any, controls: Sequence[Control]) -> Iterator[tuple[str, ...]]:
    """For the call a scheduler that carries edits of latents on; yields what there is to say."""
    moving = any(isinstance(control, LatentEdit | Objective) for control in controls)
    scheduler = pipe.scheduler
    if not moving or family_of(pipe).keeps(scheduler) is not Keeps.NEVER:
        yield ()
        return
    # The schedulers that are refused never clip; DDIM would by default.
    pipe.scheduler = DDIMScheduler.from_config(scheduler.config, clip_sample=False)
    try:
        yield (
            f"scheduler: {type(scheduler).__name__} throws edits of latents away; DDIMScheduler "
            "drew these pictures",
        )
    finally:
        pipe.scheduler = scheduler
