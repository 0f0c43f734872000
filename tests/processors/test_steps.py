"""Conditions and objectives: what they do equals doing it by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler, HeunDiscreteScheduler
from torch import Tensor

from attention_studio.processors import Control, KeepLayout, Prompts, RecordMaps, Site, Step
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Batch
from attention_studio.processors.control import Context
from attention_studio.processors.recorder import Columns, Maps, Word
from attention_studio.processors.step import Inputs

from .conftest import Studio
from .dense import Dense, Plan
from .test_stock import traces

PROMPT = ["a cat on grass", "a dog on grass"]


@dataclass(frozen=True, eq=False)
class Swap(Control):
    """Other text embeddings in the steps from `first` on."""

    other: Tensor | None = None
    first: int = 0

    def apply(self, inputs: Inputs, step: Step, batch: Batch) -> Inputs:
        assert self.other is not None
        return inputs if step.index < self.first else replace(inputs, context=self.other)


@dataclass(frozen=True, eq=False)
class Excite(Control):
    """Maximises the mean map of "cat" in some steps; `images` pictures of one prompt."""

    strength: float = 30.0
    steps: tuple[int, ...] = (0,)
    columns: Columns | None = None
    images: int = 1

    def bind(self, prompts: Prompts) -> Excite:
        tokens = prompts.tokenized("excite")[0].find("cat").indices
        return replace(self, columns=Columns((Word(0, "cat", tokens),)), images=prompts.images)

    def acts(self, site: Site, step: Step) -> bool:
        return site.maps

    def record(self, site: Site, step: Step) -> Columns | None:
        return self.columns

    def rate(self, step: Step) -> float:
        return self.strength if step.index in self.steps else 0.0

    def loss(self, maps: Maps, step: Step) -> Tensor:
        return -sum((maps.get("cat", image=i).mean() for i in range(self.images)), torch.zeros(()))


def test_a_condition_changes_what_the_denoiser_reads() -> None:
    studio = Studio("sd")
    pipe = studio.pipe
    embed = [torch.cat(pipe.encode_prompt(p, "cpu", 1, True)[::-1]) for p in PROMPT]
    first, other = (studio([p]) for p in PROMPT)
    with attach(pipe, [Swap(embed[1])]):
        assert torch.equal(studio([PROMPT[0]]), other)
    with attach(pipe, [Swap(embed[1], first=99)]):
        assert torch.equal(studio([PROMPT[0]]), first)
    with attach(pipe, [Swap(embed[1], first=1)]):
        mixed = studio([PROMPT[0]])
    assert not torch.equal(mixed, first) and not torch.equal(mixed, other)


def by_hand(studio: Studio, latents: Tensor, images: int, strength: float) -> Tensor:
    """δ for the first step, from explicit maps; "cat" is tokens 2 to 4, a letter each."""
    pipe = studio.pipe
    pipe.scheduler.set_timesteps(3)
    t = pipe.scheduler.timesteps[0]
    plan = Plan(guided=False, images=images, words=((0, (2, 3, 4)),))
    stock = dict(pipe.unet.attn_processors)
    pipe.unet.set_attn_processor({name: Dense(plan) for name in stock})
    z = latents.clone().requires_grad_()
    cond, _ = pipe.encode_prompt(PROMPT[:1], "cpu", images, False)
    pipe.unet(pipe.scheduler.scale_model_input(z, t), t, cond)
    pipe.unet.set_attn_processor(stock)
    columns = [c for i in range(images) for c in plan.maps[0, i] if c.numel() == 64]
    loss = -torch.stack(columns).mean(-1).sum() / (len(columns) / images)
    return -strength * torch.autograd.grad(loss, z)[0]


@pytest.mark.parametrize("scheduler", [None, EulerDiscreteScheduler, HeunDiscreteScheduler])
@pytest.mark.parametrize(("guidance", "images"), [(5.0, 1), (5.0, 2), (1.0, 1)])
def test_an_objective_equals_editing_the_latents_before_the_step(
    scheduler: Any, guidance: float, images: int
) -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    if scheduler is not None:
        studio.pipe.scheduler = scheduler.from_config(studio.pipe.scheduler.config)
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(images, 4, 8, 8, generator=draw, dtype=torch.float64)
    call = {"guidance": guidance, "images": images, "height": 16, "width": 16}
    base = studio(PROMPT[:1], latents=start, **call)
    studio.pipe.scheduler.set_timesteps(3)
    sigma = studio.pipe.scheduler.init_noise_sigma
    strength = 100.0 if scheduler is None else 3e4  # Euler's latents are larger by sigma
    delta = by_hand(studio, start * sigma, images, strength)
    wanted = studio(PROMPT[:1], latents=start + delta / sigma, **call)
    before = traces(studio.pipe)
    with attach(studio.pipe, [Excite(strength)]):
        out = studio(PROMPT[:1], latents=start, **call)
    assert traces(studio.pipe) == before
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=1e-6)
    assert float((base - wanted).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["sdxl", "sd-inpaint-9", "sd-controlnet"])
def test_objectives_work_for_every_pipeline(name: str) -> None:
    """Rows of every batched argument go with the conditional ones."""
    studio = Studio(name)
    base = studio(PROMPT)
    for strength, same in ((0.0, True), (30.0, False)):
        with attach(studio.pipe, [Excite(strength), RecordMaps(("grass",))]) as run:
            out = studio(PROMPT)
        assert torch.equal(out[0], base[0]) is same
        assert torch.equal(out[1], base[1])  # its maps are not in the loss
        assert ((0, "grass") in run.maps.words) and run.maps.grids == ((16, 16),)


def test_objectives_and_edits_go_together() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, [KeepLayout()]):
        kept = studio(PROMPT)
    with attach(studio.pipe, [KeepLayout(), Excite()]):
        both = studio(PROMPT)
    assert not torch.equal(kept[0], both[0])
    assert not any(p.grad is not None for p in studio.pipe.unet.parameters())


def test_keys_and_values_can_read_other_contexts() -> None:
    """Keys of the other prompt with one's own values are neither prompt's picture."""

    @dataclass(frozen=True, eq=False)
    class Read(Control):
        keys: Tensor | None = None
        values: Tensor | None = None

        def context(self, site: Site, step: Step, batch: Batch, context: Context) -> Context:
            k = context.k if self.keys is None else self.keys
            return Context(k, context.v if self.values is None else self.values)

    studio = Studio("sd")
    embed = torch.cat(studio.pipe.encode_prompt(PROMPT[1], "cpu", 1, True)[::-1])
    first, other = (studio([p]) for p in PROMPT)
    with attach(studio.pipe, [Read(keys=embed), Read(values=embed)]):
        assert torch.equal(studio([PROMPT[0]]), other)
    with attach(studio.pipe, [Read(keys=embed)]):
        mixed = studio([PROMPT[0]])
    assert not torch.equal(mixed, first) and not torch.equal(mixed, other)
