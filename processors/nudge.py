"""Moves the latents down an objective's gradient, within the pipeline's own loop.

With z the latents, c = scale_model_input(1), u = c z what the denoiser sees, L_o the objectives:

    δ = −sum_o α_o dL_o/dz = −c · d(sum_o α_o L_o)/du
    the denoiser gets u + c δ, the scheduler's step gets z + δ, once

ours: the δ form; it equals editing the latents before the step, also before the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .call import Batch, Step
from .recorder import Recorder
from .step import Objective

__all__ = ["nudge", "spread"]


def nudge(
    objectives: Sequence[Objective],
    step: Step,
    sample: Tensor,
    probe: Callable[[Tensor], Any],
    recorder: Recorder,
    factor: float,
) -> Tensor:
    """δ for each row of `sample`, zero beyond what the loss depends on.

    sample: [B, C, h, w], the conditional rows of what the denoiser would see.
    probe:  runs the denoiser on them; the maps go to `recorder`.
    factor: c.
    """
    with torch.enable_grad():
        seen = sample.detach().requires_grad_()
        probe(seen)
        terms = [o.rate(step) * o.loss(recorder.maps(o), step) for o in objectives]
        total = torch.stack(terms).sum()
        if not total.requires_grad:
            names = ", ".join(type(objective).__name__ for objective in objectives)
            raise ValueError(f"controls: the loss of {names} does not depend on the latents")
        (slope,) = torch.autograd.grad(total, seen)
    return -factor * slope


def spread(delta: Tensor, batch: Batch, images: int) -> Tensor:
    """δ of each picture [P·n, …] for every row of a call, conditional or not."""
    return torch.stack([delta[row.prompt * images + row.image] for row in batch.rows])
