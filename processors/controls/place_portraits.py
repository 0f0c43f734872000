"""Reposition of latents: the denoiser sees each portrait as if it had been painted in its place.

For models whose attention knows no places (reposition_subjects.py), where a key brings along the
place that convolutions gave it. With z_i the latents of portrait i, cut out and pasted where its
subject stands in the scene, and ε_i a noise that stays, the denoiser gets for the portrait's rows

    x_i = α_t z_i + σ_t ε_i        α_t² + σ_t² = 1

in each step, whatever the scheduler made of them; so its keys belong there. IR-Diffusion, He et al.
2024 (arXiv:2411.19261) speaks of reposition; its code moves keys, and this level of it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import cos, isfinite, sin

import torch
from torch import Tensor

from ..call import Batch, Kind, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..step import Inputs
from .subjects import numbered

__all__ = ["PlacePortraits"]

_REFUSED = (
    "controls: place_portraits is for UNets; joint attention knows places, so expected "
    "reposition_subjects alone"
)


@dataclass(frozen=True, eq=False)
class PlacePortraits(Control):
    """It moves nobody: another control lets the scene read these rows. Their own pictures, as the
    pipeline gives them, are of no use.

    canvases:  z, [S, C, h, w], as large as the run's latents.
    portraits: numbers of the prompts that draw these portraits, one for each canvas.
    alphas:    [T], the scheduler's alphas_cumprod, α_t² at each of the model's timesteps.
    during:    the part of the denoising; outside of it portraits go on by themselves.
    seed:      of ε.
    noise:     made by bind.
    """

    canvases: Tensor
    portraits: tuple[int, ...]
    alphas: Tensor
    during: Interval = Interval()
    seed: int = 0
    noise: Tensor | None = field(default=None, kw_only=True)

    def bind(self, prompts: Prompts) -> PlacePortraits | None:
        numbered("portraits", self.portraits, prompts)
        if self.canvases.ndim != 4 or len(self.canvases) != len(self.portraits):
            raise ValueError(
                f"canvases: came {list(self.canvases.shape)}; expected [{len(self.portraits)}, C, "
                "h, w], one for each portrait"
            )
        if self.alphas.ndim != 1 or not bool(((self.alphas >= 0) & (self.alphas <= 1)).all()):
            raise ValueError(
                f"alphas: came {list(self.alphas.shape)}; expected [T] with values in [0, 1]"
            )
        if not self.portraits or self.during.empty:
            return None
        draw = torch.Generator().manual_seed(self.seed)
        return replace(self, noise=torch.randn(self.canvases.shape, generator=draw))

    def acts(self, site: Site, step: Step) -> bool:
        if site.kind is Kind.JOINT:
            raise ValueError(_REFUSED)
        return False  # at no attention call; `apply` changes what all of them read

    def apply(self, inputs: Inputs, step: Step, batch: Batch) -> Inputs:
        """The same inputs with canvases for the portraits' rows."""
        if not self.during.active(step):
            return inputs
        if inputs.sample.ndim != 4:
            raise ValueError(_REFUSED)
        _, channels, *size = self.canvases.shape
        if list(inputs.sample.shape[2:]) != size or inputs.sample.shape[1] < channels:
            raise ValueError(
                f"canvases: came {list(self.canvases.shape)}; expected those of the run's "
                f"latents, {list(inputs.sample.shape)}"
            )
        assert self.noise is not None
        signal, rest = self.levels(inputs.t)
        seen = signal * self.canvases + rest * self.noise
        sample = inputs.sample.clone()
        for i in batch.every:
            if (prompt := batch.rows[i].prompt) in self.portraits:
                sample[i, :channels] = seen[self.portraits.index(prompt)].to(sample)
        return replace(inputs, sample=sample)

    def levels(self, t: Tensor | float) -> tuple[float, float]:
        """α and σ; between two timesteps σ / α is interpolated, as schedulers do it."""
        at = float(t.flatten()[0]) if isinstance(t, Tensor) else float(t)
        below = min(max(int(at), 0), len(self.alphas) - 1)
        low, high = (
            ((1 - alpha) / alpha).sqrt()
            for alpha in self.alphas.double()[[below, min(below + 1, len(self.alphas) - 1)]]
        )
        ratio = low if at == below or not isfinite(high) else torch.lerp(low, high, at - below)
        angle = float(ratio.atan())
        return cos(angle), sin(angle)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        count = len(self.portraits)
        return (f"place_portraits showed {count} portraits where their subjects stand",)
