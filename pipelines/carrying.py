"""Edits of latents under a scheduler that would throw them away: another steps in for the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

from ..processors.control import Control
from ..processors.families import Keeps, family_of
from ..processors.step import LatentEdit, Objective

__all__ = ["carrying"]


@contextmanager
def carrying(pipe: Any, controls: Sequence[Control]) -> Iterator[tuple[str, ...]]:
    """For the call a scheduler that carries edits of latents on; yields what there is to say."""
    moving = any(isinstance(control, LatentEdit | Objective) for control in controls)
    scheduler = pipe.scheduler
    family = family_of(pipe)
    if not moving or family.keeps(scheduler) is not Keeps.NEVER:
        yield ()
        return
    carrier: Any = family.carrier
    # The schedulers that are refused never clip; DDIM would by default.
    clip = {"clip_sample": False} if "clip_sample" in signature(carrier).parameters else {}
    pipe.scheduler = carrier.from_config(scheduler.config, **clip)
    try:
        yield (
            f"scheduler: {type(scheduler).__name__} throws edits of latents away; "
            f"{carrier.__name__} drew these pictures",
        )
    finally:
        pipe.scheduler = scheduler
