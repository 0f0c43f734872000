"""Moves the latents down an objective's gradient, within the pipeline's own loop.

With z the latents, c = scale_model_input(1), u = c z what the denoiser sees, L_o the objectives:

    δ = −sum_o α_o dL_o/dz = −c · d(sum_o α_o L_o)/du
    the denoiser gets u + c δ, the scheduler's step gets z + δ, once

An objective may ask to move and look again (`Refining`): δ is then the sum of all moves, of which
the others make the last one only. One that is `Relative` moves by −α |z| g / |g|.

ours: the δ form; it equals editing the latents before the step, also before the first one. fp16
gradients are taken of 1024 L, and a picture whose gradient is not finite stays where it is. Every
relative objective costs a backward pass of its own, all others share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .call import Batch, Step
from .recorder import Recorder
from .step import Objective, Refining, Relative, Selective

__all__ = ["Nudge", "nudge", "spread", "unmoved"]

_BOOST = 1024.0


@dataclass(frozen=True)
class Nudge:
    """What the objectives did in one step.

    losses:  by the name of the objective, one for each picture, at the last look; a loss that came
             as a scalar is one number.
    moves:   how often the latents were moved.
    lengths: of δ for each picture, as a part of its latents'.
    skipped: pictures that stayed in a move because their gradient was not finite.
    """

    step: int
    losses: Mapping[str, tuple[float, ...]]
    moves: int
    lengths: tuple[float, ...]
    skipped: tuple[int, ...]


def nudge(
    objectives: Sequence[Objective],
    step: Step,
    sample: Tensor,
    look: Callable[[Tensor], Recorder],
    factor: float,
    part: tuple[slice, ...],
    batch: Batch,
) -> tuple[Tensor, Nudge]:
    """δ of the shape of `sample[part]`, zero for rows that no loss depends on, and what was done.

    sample: [B, …], the conditional rows of what the denoiser would see.
    look:   runs the denoiser on such rows; what was recorded.
    factor: c.
    part:   what of the sample is latents.
    batch:  whose these rows are.
    """
    start = sample.detach()
    delta = torch.zeros_like(start[part])
    moves, skipped = 0, set[int]()
    allowed = _allowed(objectives, batch).to(delta.device)
    while True:
        seen = start.clone()
        seen[part] += factor * delta
        with torch.enable_grad():
            recorder = look(seen.requires_grad_())
            losses = [objective.loss(recorder.maps(objective), step) for objective in objectives]
        looked = list(zip(objectives, losses, strict=True))
        wants = [_again(*pair, step, moves, len(start)) for pair in looked]
        more = torch.stack(wants).any(0).to(delta.device)
        if bool(more.any()):
            looked = [pair for pair, want in zip(looked, wants, strict=True) if bool(want.any())]
        move = _move(looked, step, seen, factor, part)
        finite = move.isfinite().flatten(1).all(1)
        skipped |= {row for row, ok in enumerate(finite.tolist()) if not ok}
        chosen = allowed & finite & more if bool(more.any()) else allowed & finite
        delta = delta + torch.where(chosen.view(-1, *(1,) * (move.ndim - 1)), move, 0.0)
        moves += 1
        if not bool(more.any()):
            lengths = factor * _norms(delta) / _norms(start[part])
            named = {
                type(objective).__name__: tuple(loss.detach().reshape(-1).tolist())
                for objective, loss in zip(objectives, losses, strict=True)
            }
            done = Nudge(
                step.index, named, moves, tuple(lengths.flatten().tolist()), tuple(sorted(skipped))
            )
            return delta, done


def spread(delta: Tensor, batch: Batch, images: int) -> Tensor:
    """δ of each picture [P·n, …] for every row of a call, conditional or not."""
    return torch.stack([delta[row.prompt * images + row.image] for row in batch.rows])


def unmoved(nudges: Sequence[Nudge]) -> tuple[str, ...]:
    """A warning when a gradient was not finite."""
    lost = sum(bool(nudge.skipped) for nudge in nudges)
    said = f"in {lost} steps a gradient was no finite number, so the latents were left alone there"
    return (f"{said}; expected in float16 only, where float32 helps",) if lost else ()


def _move(
    looked: Sequence[tuple[Objective, Tensor]],
    step: Step,
    seen: Tensor,
    factor: float,
    part: tuple[slice, ...],
) -> Tensor:
    """One move down these objectives' losses of `seen`, of the shape of `seen[part]`."""
    boost = _BOOST if seen.dtype == torch.float16 else 1.0
    with torch.enable_grad():
        terms = [
            (o, boost * (1.0 if _is_relative(o) else o.rate(step)) * loss.sum())
            for o, loss in looked
        ]
    steering = [(objective, term) for objective, term in terms if term.requires_grad]
    if not steering and any(bool(term) for _, term in terms):
        names = ", ".join(type(objective).__name__ for objective, _ in terms)
        raise ValueError(f"controls: the loss of {names} does not depend on the latents")
    together = [term for objective, term in steering if not _is_relative(objective)]
    alone = [(o.rate(step), term) for o, term in steering if _is_relative(o)]
    move = torch.zeros_like(seen.detach()[part])
    if together:
        (slope,) = torch.autograd.grad(together, seen, retain_graph=bool(alone))
        move = move - factor / boost * slope[part]
    for i, (rate, term) in enumerate(alone, 1):
        (slope,) = torch.autograd.grad(term, seen, retain_graph=i < len(alone))
        steep = _norms(slope[part])
        unit = torch.where(steep == 0, 0.0, slope[part] / steep.clamp_min(1e-30))
        move = move - rate / factor * _norms(seen.detach()[part]) * unit
    return move


def _is_relative(objective: Objective) -> bool:
    return isinstance(objective, Relative) and objective.relative


def _allowed(objectives: Sequence[Objective], batch: Batch) -> Tensor:
    """[B] bool: rows that any of them may move."""
    allowed = torch.zeros(len(batch.rows), dtype=torch.bool)
    for objective in objectives:
        rows = objective.moved(batch) if isinstance(objective, Selective) else batch.cond
        allowed[list(rows)] = True
    return allowed


def _again(objective: Objective, loss: Tensor, step: Step, moves: int, rows: int) -> Tensor:
    """[B] bool: where it wants to look again."""
    if isinstance(objective, Refining):
        return objective.again(loss.detach(), step, moves).cpu()
    return torch.zeros(rows, dtype=torch.bool)


def _norms(x: Tensor) -> Tensor:
    """Of each row, [B, 1, …]."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.flatten(1).norm(dim=1).view(-1, *(1,) * (x.ndim - 1))
