"""What composing costs: one prompt with two coloured things, stock and under what steers it.

Nothing is timed unless on a small pipeline, to 1e-5 of the largest latent, A-STAR equals the loop
written out and our Attend-and-Excite that of diffusers, controls that are off leave the latents as
they are, bit for bit, and all others move them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..pipelines.carrying import carrying
from ..pipelines.deprecated_excite import excite_by_diffusers, map_grid
from ..pipelines.untrained import untrained_sd15
from ..processors import (
    BindAttributes,
    BoxLayout,
    Control,
    Excite,
    Interval,
    RegionPrompts,
    Retain,
    Segregate,
    StructurePhrases,
)
from ..processors.controls.word_objective import WordObjective
from ..processors.families import family_of
from ..processors.prompts import tokenize
from .a_star import a_star_by_hand
from .runs import RunRow, Runs, Say, time_runs

__all__ = ["COMPOSE_WAYS", "ComposeRow", "ComposeRuns", "check_compose", "measure_compose"]

THINGS = ("cat", "dog")
PHRASES = ("a red cat", "a blue dog")
LIMIT = 1e-5
SIZE = (128, 128)

_BOXES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
_STRONG = 3000.0  # an absolute step size that shows in the latents of random weights
_OFF = Interval(0.0, 0.0)

_A_STAR = (Segregate(concepts=THINGS), Retain(concepts=THINGS))
_WHOLE = tuple(replace(control, during=Interval()) for control in _A_STAR)
_STRUCTURE = StructurePhrases()
_CONTROLS: Mapping[str, tuple[Control, ...]] = MappingProxyType(
    {
        "a-star": _A_STAR,
        "a-star whole": _WHOLE,
        "excite": (Excite(THINGS),),
        "excite unrefined": (Excite(THINGS, thresholds=()),),
        "structure": (_STRUCTURE,),
        "structure conjunction": (replace(_STRUCTURE, mode="conjunction"),),
        "bind": (BindAttributes({"cat": ("red",), "dog": ("blue",)}),),
        "boxes": (BoxLayout(dict(zip(THINGS, _BOXES, strict=True))),),
        "regions": (RegionPrompts(tuple(zip(_BOXES, PHRASES, strict=True))),),
        "a-star + structure": (*_A_STAR, _STRUCTURE),
    }
)
_DIFFUSERS: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {"diffusers excite": Excite.thresholds, "diffusers excite unrefined": ()}
)
COMPOSE_WAYS = (*_CONTROLS, *_DIFFUSERS)
"""What can be timed beside stock. excite is ours; diffusers' is its deprecated pipeline."""


@dataclass(frozen=True)
class ComposeRow(RunRow):
    """guided: steps with passes of the denoiser for a gradient; gradients: all such passes.

    diffusers makes such a pass in every step, also where it moves nothing.
    """

    guided: int = 0
    gradients: int = 0

    @property
    def label(self) -> str:
        return f"{self.way}, gradients: {self.gradients}" if self.gradients else self.way


@dataclass(frozen=True, eq=False)
class ComposeRuns(Runs):
    """Runs on one prompt."""

    prompts: tuple[str, ...] = (" and ".join(PHRASES),)

    def way(self, name: str) -> Tensor:
        if name in _CONTROLS:
            return self.under(_CONTROLS[name])
        return self.excited(_DIFFUSERS[name])

    def excited(
        self, thresholds: Sequence[tuple[float, float]], scale: float = 20.0, **more: Any
    ) -> Tensor:
        """By diffusers' pipeline."""
        height, width = self.size
        latents: Tensor = excite_by_diffusers(
            self.pipe,
            self.prompts[0],
            THINGS,
            grid=map_grid(self.pipe, self.size),
            steps=self.steps,
            scale=scale,
            thresholds=thresholds,
            height=height,
            width=width,
            guidance_scale=self.guidance,
            generator=self.generators(),
            output_type="latent",
            **more,
        ).images
        return latents

    def start(self) -> Tensor:
        """Noise."""
        sides = (side // self.pipe.vae_scale_factor for side in self.size)
        shape = (1, self.pipe.unet.config.in_channels, *sides)
        return torch.randn(shape, generator=self.generators()[0]).to(self.pipe.device)


def check_compose(pipe: Any, size: tuple[int, int]) -> dict[str, float]:
    """Errors of the ways that must equal another; ValueError when they or others are wrong.

    Two steps; guidance is low, since it multiplies rounding.
    """
    runs = ComposeRuns(pipe, size, 2, 2.0)
    with torch.backends.cudnn.flags(allow_tf32=False):
        errors = _errors(runs)
        _check_effects(runs)
    return errors


def measure_compose(
    pipe: Any,
    *,
    model: str,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    repetitions: int,
    against: Sequence[str] = COMPOSE_WAYS,
    say: Say = lambda _: None,
) -> list[ComposeRow]:
    """One row a way, stock first; ValueError when a control does not do what it should.

    That is checked in fp32 on a small untrained pipeline on the same device. In the place of a
    scheduler that throws moves of latents away DDIM draws all of them, stock too.

    against: which of `COMPOSE_WAYS`.
    """
    if unknown := sorted(set(against) - set(COMPOSE_WAYS)):
        raise ValueError(f"against: {unknown} came; compose knows {', '.join(COMPOSE_WAYS)}")
    say("results on a small pipeline")
    small = untrained_sd15(device=pipe.device, channels=(32, 64, 64, 64))
    errors = check_compose(small, SIZE)
    runs = ComposeRuns(pipe, size, steps, guidance)
    passes: dict[str, list[bool]] = {}

    def counted(name: str, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with _passes(pipe.unet) as passes[name]:
                return run()

        return call

    ways = {"stock": counted("stock", runs.stock)}
    for name in COMPOSE_WAYS:
        if name in against:
            ways[name] = counted(name, partial(runs.way, name))
    with carrying(pipe, _A_STAR) as said:  # stock too: one scheduler for all
        for line in said:
            say(line)
        rows = time_runs(runs, ways, model=model, repetitions=repetitions, errors=errors, say=say)
    return [
        ComposeRow(
            **vars(row),
            guided=sum(a and not b for a, b in pairwise([*passes[row.way], False])),
            gradients=sum(passes[row.way]),
        )
        for row in rows
    ]


def _controls_off() -> Iterator[tuple[str, list[Control]]]:
    every = [control for controls in _CONTROLS.values() for control in controls]
    yield "an empty interval", [replace(c, during=_OFF) for c in every]  # type: ignore[call-arg]
    yield (
        "step size 0",
        [replace(c, step_size=0.0) for c in every if isinstance(c, WordObjective)],
    )


def _errors(runs: ComposeRuns) -> dict[str, float]:
    pipe, start = runs.pipe, runs.start()
    by_hand = a_star_by_hand(runs, THINGS, _A_STAR[0].step_size, start)
    a_star = _error("a-star", runs.under(_WHOLE, latents=start), by_hand)
    family = family_of(pipe)
    text = tokenize(runs.prompts[0], family.blocks(pipe, pipe.tokenizer.model_max_length))
    lasts = tuple(text.find(word).indices[-1] for word in THINGS)  # those that diffusers' excites
    ours = Excite(lasts, thresholds=(), step_size=_STRONG)
    excited = runs.excited((), _STRONG, latents=start)
    excite = _error("excite", runs.under([ours], latents=start), excited)
    return {
        "a-star": a_star,
        "a-star whole": a_star,
        "excite": excite,
        "excite unrefined": excite,
    }


def _check_effects(runs: ComposeRuns) -> None:
    stock = runs.stock()
    for name, off in _controls_off():
        if not torch.equal(runs.under(off), stock):
            raise ValueError(f"compose: refused, since controls with {name} move the latents")
    for name in ("structure", "structure conjunction", "bind", "boxes", "regions"):
        if torch.equal(runs.under(_CONTROLS[name]), stock):
            raise ValueError(f"compose: refused, since {name} leaves the latents as they are")


def _error(name: str, ours: Tensor, wanted: Tensor) -> float:
    error = float((ours - wanted).abs().max() / wanted.abs().max())
    if not error <= LIMIT:
        raise ValueError(
            f"compose: refused, since {name} differs from its yardstick by {error:.2g} on a small "
            f"pipeline, limit {LIMIT:g}"
        )
    return error


@contextmanager
def _passes(denoiser: Any) -> Iterator[list[bool]]:
    """Of the denoiser within the block: for each whether it is for a gradient."""
    seen: list[bool] = []
    hook = denoiser.register_forward_pre_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    try:
        yield seen
    finally:
        hook.remove()
