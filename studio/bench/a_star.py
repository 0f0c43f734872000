"""A-STAR by hand: all maps formed, the latents moved between the steps of the stock pipeline.

Agarwal et al. 2023 (arXiv:2306.14544), segregation and retention of two concepts with the defaults
of `Segregate` and `Retain`, but before every step. It is what ours must equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..processors.call import Kind, Site
from ..processors.controls.concepts import smoothed
from ..processors.families import family_of
from ..processors.prompts import tokenize
from .formed import formed
from .runs import Runs

__all__ = ["a_star_by_hand"]


def a_star_by_hand(runs: Runs, words: tuple[str, str], step_size: float, start: Tensor) -> Tensor:
    """The latents at the end of a run of one prompt that starts from these.

    step_size: of each loss's moves, as a part of the latents' length.
    """
    pipe, (prompt,) = runs.pipe, runs.prompts
    text = tokenize(prompt, family_of(pipe).blocks(pipe, pipe.tokenizer.model_max_length))
    inside = [b.offset + i for b in text.blocks for i in range(b.first, b.last)]
    with torch.no_grad():
        cond = pipe.encode_prompt(prompt, pipe.device, 1, False)[0]
    tokens = [text.find(word).indices for word in words]
    loop = _Loop(pipe, runs.steps, step_size, cond, inside, tokens)
    pipe.scheduler.set_timesteps(runs.steps)
    return runs.stock(latents=loop.moved(start, 0), callback_on_step_end=loop.between)


@dataclass(eq=False)
class _Loop:
    """inside: positions of the prompt's words; tokens: of each concept; strong: B of retention."""

    pipe: Any
    steps: int
    step_size: float
    cond: Tensor
    inside: list[int]
    tokens: Sequence[Sequence[int]]
    strong: list[Tensor] = field(default_factory=list)

    def between(self, _pipe: object, step: int, _t: object, given: dict[str, Any]) -> Any:
        last = step + 1 == self.steps
        return {} if last else {"latents": self.moved(given["latents"], step + 1)}

    def moved(self, latents: Tensor, step: int) -> Tensor:
        """z − α |z| g / |g| before that step, g = dL/dz, for each loss L that there is."""
        with torch.enable_grad():
            z = latents.detach().requires_grad_()
            maps = self._look(z, self.pipe.scheduler.timesteps[step])
            words = maps / maps[self.inside].sum(0)
            a, b = (smoothed(words[list(own)]).mean(0) for own in self.tokens)
            losses = [_ratio(a / a.sum(), b / b.sum())]
            now = [a / a.max(), b / b.max()]
            if self.strong:  # not before the first step
                kept = [1 - _ratio(*pair) for pair in zip(now, self.strong, strict=True)]
                losses.append(kept[0] + kept[1])
            slopes = [torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in losses]
        self.strong = [(own.detach() >= 0.5).to(own) for own in now]
        length = self.step_size * latents.norm()
        return latents - sum(length * slope / slope.norm() for slope in slopes)

    def _look(self, z: Tensor, t: Tensor) -> Tensor:
        """[T, h, w], the mean map of each token."""
        seen: list[Tensor] = []

        def keep(probs: Tensor, site: Site) -> Tensor:
            if site.maps and site.kind is Kind.CROSS:
                height, width = z.shape[-2:]
                seen.append(probs[0].mean(0).T.unflatten(1, site.grid((height, width))))
            return probs

        with formed(self.pipe, keep):
            self.pipe.unet(self.pipe.scheduler.scale_model_input(z, t), t, self.cond)
        return torch.stack(seen).mean(0)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b).sum() / (a + b).sum()
