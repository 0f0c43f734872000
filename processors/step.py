"""Three protocols beside the attention call; what implements one is a control too.

An Objective edits latents by a gradient without a sampling loop of its own. With z the latents,
c = scale_model_input(1) and u = c z what the denoiser sees:

    dL/dz = c · dL/du        δ = −α · dL/dz
    the denoiser gets u + c·δ, the scheduler's step gets z + δ, once

which equals editing the latents before the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from .call import Batch, Step
from .recorder import Maps

__all__ = ["Condition", "Inputs", "LatentEdit", "Objective"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the denoiser is called with.

    sample:  [B, C, h, w] latents, scaled for the denoiser, with further channels of inpainting.
    t:       [] or [B].
    context: [B, T, C'] text embeddings.
    """

    sample: Tensor
    t: Tensor | float
    context: Tensor


@runtime_checkable
class Condition(Protocol):
    """Other embeddings in a step: null-text inversion, prompt scheduling."""

    def apply(self, inputs: Inputs, step: Step, batch: Batch) -> Inputs:
        """The inputs of the denoiser for this step; `batch` says whose their rows are."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A loss on the word maps whose gradient moves the latents: A-STAR, Attend-and-Excite."""

    def rate(self, step: Step) -> float:
        """α; 0 where the latents are left alone, which also spares the gradient."""
        ...

    def loss(self, maps: Maps, step: Step) -> Tensor:
        """A scalar, from what this control itself records."""
        ...


@runtime_checkable
class LatentEdit(Protocol):
    """A change of the latents after a step: local blend."""

    def edit_latents(self, latents: Tensor, maps: Maps, step: Step) -> Tensor:
        """The latents [P·n, C, h, w] to go on with, prompt-major."""
        ...
