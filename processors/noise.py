"""Checks that a source and its edits start from the same noise and are given the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["RandomState", "check_start"]

_ADVICE = (
    "give generator=[torch.Generator().manual_seed(s) for …], the same seed for each prompt, or "
    "the same latents=; inpainting also wants one image and one mask for each picture"
)


def check_start(latents: Tensor, images: int) -> None:
    """ValueError unless image i of every prompt starts as image i of the source. [P·n, C, h, w]."""
    by_prompt = latents.unflatten(0, (-1, images))
    for prompt in range(1, by_prompt.shape[0]):
        if not torch.equal(by_prompt[prompt], by_prompt[0]):
            raise ValueError(
                f"latents: prompt {prompt} starts from other noise than prompt 0, so nothing of "
                f"the source could be kept; {_ADVICE}"
            )


class RandomState:
    """The generators of a scheduler step before it: equal draws need equal states."""

    def __init__(self, generator: Any, device: torch.device) -> None:
        self._generator = generator
        self._device = device
        self._before = self._states()

    def check(self, prompts: int, images: int) -> None:
        """ValueError when the step drew noise that is not the same for every prompt."""
        after = self._states()
        drawn = any(not torch.equal(a, b) for a, b in zip(self._before, after, strict=True))
        if drawn and not self._paired(prompts, images):
            raise ValueError(
                "generator: this scheduler adds noise in each step and the prompts would get "
                "different noise; give generator=[torch.Generator().manual_seed(s) for …], the "
                "same seed for each prompt, or choose a scheduler without noise"
            )

    def _paired(self, prompts: int, images: int) -> bool:
        states = self._before
        if len(states) != images * prompts:
            return False
        return all(torch.equal(state, states[i % images]) for i, state in enumerate(states))

    def _states(self) -> Sequence[Tensor]:
        if self._generator is None:
            on_cpu = self._device.type != "cuda"
            return [torch.get_rng_state() if on_cpu else torch.cuda.get_rng_state(self._device)]
        several = isinstance(self._generator, list | tuple)
        return [g.get_state() for g in (self._generator if several else [self._generator])]
