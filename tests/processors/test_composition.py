"""Segregation, retention and excitation in whole runs, against stock and against explicit loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)
from torch import Tensor

from attention_studio.processors import Interval, KeepLayout, RecordMaps, Rows
from attention_studio.processors.attach import attach
from attention_studio.processors.control import Control
from attention_studio.processors.controls.excite import Excite
from attention_studio.processors.controls.retain import Retain
from attention_studio.processors.controls.segregate import Segregate

from .conftest import Studio
from .test_stock import traces

TEXT = ["a cat on grass"]  # a letter a token: cat is 2 to 4, grass 7 to 11, the end token 12
WORDS = ("cat", "grass")
TOKENS = ([2, 3, 4], [7, 8, 9, 10, 11])


def both(**options: Any) -> list[Control]:
    return [Segregate(WORDS, **options), Retain(WORDS, **options)]


@pytest.mark.parametrize(
    "scheduler",
    [None, EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler],
)
def test_without_a_step_it_is_bit_for_bit_stock(scheduler: Any) -> None:
    studio = Studio("sd")
    if scheduler is not None:
        studio.pipe.scheduler = scheduler.from_config(studio.pipe.scheduler.config)
    base = studio(images=2)
    before = traces(studio.pipe)
    for options in ({"step_size": 0.0}, {"weight": 0.0}, {"during": Interval(0.5, 0.5)}):
        with attach(studio.pipe, [*both(**options), Excite(WORDS, **options)]) as run:
            assert torch.equal(studio(images=2), base)
        assert run.nudges == ()
    assert traces(studio.pipe) == before


def test_the_caller_s_generator_ends_as_in_a_stock_run() -> None:
    studio = Studio("sd")
    plain, steered = (torch.Generator().manual_seed(5) for _ in range(2))
    studio(TEXT, generator=plain, eta=0.5)
    with attach(studio.pipe, both()):
        studio(TEXT, generator=steered, eta=0.5)
    assert torch.equal(plain.get_state(), steered.get_state())


def test_all_is_put_back_after_an_error_within_the_loss() -> None:
    class Wrong(Segregate):
        def loss(self, maps: Any, step: Any) -> Tensor:
            raise RuntimeError("wrong")

    studio = Studio("sd")
    studio.pipe.unet.requires_grad_(True)
    base, before = studio(TEXT), traces(studio.pipe)
    with pytest.raises(RuntimeError, match="wrong"), attach(studio.pipe, [Wrong(WORDS)]):
        studio(TEXT)
    assert traces(studio.pipe) == before
    assert torch.equal(studio(TEXT), base)


ALWAYS = Interval()


class Explicit:
    """The loop of the papers: edit the latents, then step. Knows nothing of the package."""

    def __init__(self, studio: Studio, strength: float) -> None:
        self.pipe, self.strength, self.maps = studio.pipe, strength, list[Tensor]()

    def __call__(self, start: Tensor, steps: int, move: Callable[..., Tensor]) -> Tensor:
        scheduler = self.pipe.scheduler
        scheduler.set_timesteps(steps)
        cond, uncond = self.pipe.encode_prompt(TEXT, "cpu", 1, True)
        z = start * scheduler.init_noise_sigma
        for i, t in enumerate(scheduler.timesteps):
            z = move(self, z, t, cond, i).detach()
            with torch.no_grad():
                seen = scheduler.scale_model_input(torch.cat([z, z]), t)
                eps = self.pipe.unet(seen, t, torch.cat([uncond, cond])).sample
                eps = eps[:1] + 5.0 * (eps[1:] - eps[:1])
                z = scheduler.step(eps, t, z).prev_sample
        return z

    def look(self, z: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """[77, 16, 16], the mean map of each token."""
        unet, self.maps = self.pipe.unet, []
        stock = dict(unet.attn_processors)
        unet.set_attn_processor(dict.fromkeys(stock, self.attend))
        unet(self.pipe.scheduler.scale_model_input(z, t), t, cond)
        unet.set_attn_processor(stock)
        return torch.stack([m for m in self.maps if m.shape[0] == 256]).mean(0).T.view(77, 16, 16)

    def attend(self, attn: Any, x: Tensor, encoder_hidden_states: Any = None, **_: Any) -> Tensor:
        context = x if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            y.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for y in (attn.to_q(x), attn.to_k(context), attn.to_v(context))
        )
        probs = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        if encoder_hidden_states is not None:
            self.maps.append(probs[0].mean(0))
        return attn.to_out[1](attn.to_out[0]((probs @ v).transpose(1, 2).flatten(2)))


def blurred(maps: Tensor) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(-1.0, 2.0, dtype=maps.dtype),) * 2, indexing="ij")
    kernel = torch.exp(-(y**2 + x**2))
    padded = F.pad(maps[:, None], (1,) * 4, mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])[:, 0]


def ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.minimum(a, b).sum() / (a + b).sum()


def a_star(
    loop: Explicit, z: Tensor, t: Tensor, cond: Tensor, *, masks: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The gradients of segregation and of retention, which has none before there are masks."""
    z = z.detach().requires_grad_()
    maps = loop.look(z, t, cond)
    words = maps / maps[1:12].sum(0)
    cat, grass = (blurred(words[tokens]).mean(0) for tokens in TOKENS)
    apart = ratio(cat / cat.sum(), grass / grass.sum())
    now = [m / m.max() for m in (cat, grass)]
    kept = 0.0 * z.sum()
    for m, mask in zip(now, masks, strict=False):
        kept = kept + 1 - ratio(m, mask)
    masks[:] = [(m.detach() >= 0.5).to(m) for m in now]
    (first,) = torch.autograd.grad(apart, z, retain_graph=True)
    return first, torch.autograd.grad(kept, z)[0]


@pytest.mark.parametrize(("scheduler", "strength"), [(None, 200.0), (EulerDiscreteScheduler, 6e4)])
def test_a_star_equals_the_explicit_loop(scheduler: Any, strength: float) -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    if scheduler is not None:
        studio.pipe.scheduler = scheduler.from_config(studio.pipe.scheduler.config)
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(1, 4, 16, 16, generator=draw, dtype=torch.float64)
    base = studio(TEXT, latents=start)
    masks: list[Tensor] = []

    def move(loop: Explicit, z: Tensor, t: Tensor, cond: Tensor, i: int) -> Tensor:
        rate = loop.strength * (1 - 0.5 * i / 2) ** 0.5
        return z - rate * sum(a_star(loop, z, t, cond, masks=masks))

    wanted = Explicit(studio, strength)(start, 3, move)
    controls = both(step_size=strength, relative=False, during=ALWAYS)
    with attach(studio.pipe, controls) as run:
        out = studio(TEXT, latents=start)
    assert float((base - wanted).abs().max()) > 0.05
    torch.testing.assert_close(out, wanted, atol=1e-6, rtol=1e-6)
    assert [nudge.moves for nudge in run.nudges] == [1, 1, 1]
    assert set(run.nudges[0].losses) == {"Segregate", "Retain"}
    assert run.nudges[0].losses["Retain"] == (0.0,) and run.nudges[1].losses["Retain"][0] > 0


def test_by_default_each_loss_of_a_star_moves_by_5_percent_in_the_first_30() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(1, 4, 16, 16, generator=draw, dtype=torch.float64)
    base = studio(TEXT, latents=start, num_inference_steps=4)
    masks: list[Tensor] = []

    def move(loop: Explicit, z: Tensor, t: Tensor, cond: Tensor, i: int) -> Tensor:
        if i >= 2:  # of four steps
            return z
        slopes = a_star(loop, z, t, cond, masks=masks)
        return z - 0.05 * z.norm() * sum(g / g.norm() for g in slopes if bool(g.any()))

    wanted = Explicit(studio, 0.0)(start, 4, move)
    with attach(studio.pipe, both()) as run:
        out = studio(TEXT, latents=start, num_inference_steps=4)
    assert float((base - wanted).abs().max()) > 0.05
    torch.testing.assert_close(out, wanted, atol=1e-6, rtol=1e-6)
    assert [nudge.step for nudge in run.nudges] == [0, 1]


def test_excite_equals_the_explicit_loop_with_its_refinement() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(1, 4, 16, 16, generator=draw, dtype=torch.float64)
    looks: list[float] = []

    def move(loop: Explicit, z: Tensor, t: Tensor, cond: Tensor, i: int) -> Tensor:
        if i >= 2:  # of four steps
            return z
        rate = loop.strength * (1 - 0.5 * i / 3) ** 0.5
        for count in range(4):
            z = z.detach().requires_grad_()
            sharp = (100 * loop.look(z, t, cond)[1:76]).softmax(0)
            peaks = [blurred(sharp[[k - 1 for k in ts]]).mean(0).max() for ts in TOKENS]
            loss = (1 - torch.stack(peaks)).clamp_min(0).max()
            looks.append(float(loss.detach()))
            z = z - rate * torch.autograd.grad(loss, z)[0]
            if i > 0 or count == 3 or looks[-1] <= 1 - 0.9:
                break
        return z

    wanted = Explicit(studio, 500.0)(start, 4, move)
    control = Excite(WORDS, ((0.0, 0.9),), most=3, step_size=500.0)
    with attach(studio.pipe, [control]) as run:
        out = studio(TEXT, latents=start, num_inference_steps=4)
    torch.testing.assert_close(out, wanted, atol=1e-6, rtol=1e-6)
    assert [nudge.moves for nudge in run.nudges] == [4, 1] and len(looks) == 5
    assert run.nudges[1].losses["Excite"] == pytest.approx((looks[-1],), abs=1e-9)


def test_two_pictures_in_a_call_are_two_calls() -> None:
    """Also where one of them is refined for longer."""
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(2, 4, 16, 16, generator=draw, dtype=torch.float64)
    controls = [*both(during=ALWAYS), Excite(WORDS, ((0.0, 0.02),), most=2, step_size=300.0)]
    with attach(studio.pipe, controls) as run:
        together = studio(TEXT, latents=start, images=2)
        lengths = run.nudges[0].lengths
        alone = [studio(TEXT, latents=start[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-6)
    assert len(lengths) == 2 and min(lengths) > 0


def test_checkpointing_changes_nothing() -> None:
    studio = Studio("sd")
    with attach(studio.pipe, both(during=ALWAYS)):
        plain = studio(TEXT)
    studio.pipe.unet.enable_gradient_checkpointing()
    studio.pipe.unet.train()
    with attach(studio.pipe, both(during=ALWAYS)):
        kept = studio(TEXT)
    torch.testing.assert_close(kept, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["sdxl", "sd-img2img", "sd-inpaint-9", "sd-controlnet"])
def test_other_pipelines(name: str) -> None:
    studio = Studio(name)
    base = studio()
    with attach(studio.pipe, [Segregate(("tiger", "grass")), RecordMaps(("grass",))]) as run:
        out = studio()
    assert torch.equal(out[0], base[0])  # it has no tiger
    assert not torch.equal(out[1], base[1]) and bool(out.isfinite().all())
    assert run.maps.words == ((0, "grass"), (1, "grass"))  # what the loss reads is its own business


def test_a_picture_that_is_not_square_and_guidance_off() -> None:
    studio = Studio("sd")
    base = studio(TEXT, height=32, width=64, guidance=1.0)
    with attach(studio.pipe, [*both(during=ALWAYS), Excite(WORDS, ())]) as run:
        out = studio(TEXT, height=32, width=64, guidance=1.0)
    assert not torch.equal(out, base) and out.shape == (1, 4, 16, 32)
    assert len(run.nudges) == 3
    mask = torch.ones(64, 64)
    wrong = Retain(("cat",), masks={"cat": mask})
    with attach(studio.pipe, [wrong]), pytest.raises(ValueError, match="a mask of 64 x 64"):
        studio(TEXT, height=32, width=64)


def test_the_source_of_an_edit_may_be_left_alone() -> None:
    studio = Studio("sd")
    base = studio()
    with attach(
        studio.pipe, [*(Segregate(("tiger", "grass"), rows=Rows.COND_EDIT),), KeepLayout()]
    ):
        out = studio()
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])
    lone = Retain(("cat",), rows=Rows.COND_EDIT)
    with attach(studio.pipe, [lone]), pytest.raises(ValueError, match="retain with rows"):
        studio(TEXT)


def test_a_scheduler_that_throws_moves_away_is_refused() -> None:
    studio = Studio("sd")
    studio.pipe.scheduler = PNDMScheduler.from_config(studio.pipe.scheduler.config)
    with (
        pytest.raises(ValueError, match="PNDMScheduler throws away what Segregate does"),
        attach(studio.pipe, both()),
    ):
        pass
