"""Reposition of latents: what is pasted where, and what the denoiser then sees in each step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image
from torch import Tensor

from attention_studio.pipelines.ground_inputs import clean_latents
from attention_studio.pipelines.placed_portraits import pasted, placed_portraits
from attention_studio.processors import (
    IsolateSubjects,
    PlacePortraits,
    Prompts,
    RepositionSubjects,
    Subject,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.controls.reposition_subjects import multiplicity
from attention_studio.processors.controls.subjects import held, seat

from ..processors.conftest import SIDE, Studio, picture
from ..processors.joint_pipelines import JointStudio
from ..processors.test_stock import traces

TEXTS = ["a cat", "a lion", "a cat and a lion"]
SEAT, LEFT, RIGHT = (0.25, 0.25, 0.75, 1.0), (0.0, 0.0, 0.5, 1.0), (0.5, 0.25, 1.0, 1.0)
TWO = (Subject("cat", LEFT, 0, SEAT), Subject("lion", RIGHT, 1))
PICTURES = [picture(1), picture(2)]


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def block(top: int, left: int, height: int, width: int) -> Tensor:
    mask = torch.zeros(24, 20, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


# T7, T8: of pixels


def test_a_portrait_that_is_in_its_place_stays_as_it_is() -> None:
    portrait, place = random(3, 24, 20), block(4, 6, 10, 8)
    odd = place & (random(24, 20, seed=1) > 0.4)
    odd[4, 6], odd[13, 13] = True, True  # the same box
    canvas, mask = pasted(portrait, odd, place)
    assert torch.equal(mask, odd) and torch.equal(canvas[:, odd], portrait[:, odd])
    around = portrait[:, ~odd].mean(1)
    torch.testing.assert_close(canvas[:, ~odd], around[:, None].expand(3, int((~odd).sum())))
    # there, tokens are read as they are as well
    assert torch.equal(multiplicity(odd, place), odd.long())


def test_it_moves_by_whole_pixels_and_keeps_its_shape() -> None:
    portrait, source, target = random(3, 24, 20), block(2, 3, 6, 4), block(10, 8, 6, 4)
    canvas, mask = pasted(portrait, source, target)
    assert torch.equal(mask, target)
    assert torch.equal(canvas[:, target], portrait[:, source])
    wide = block(10, 4, 6, 12)  # its height is what fits
    canvas, mask = pasted(portrait, source, wide)
    assert torch.equal(mask, block(10, 8, 6, 4))
    assert torch.equal(canvas[:, mask], portrait[:, source])
    _, mask = pasted(portrait, source, block(0, 0, 12, 20))
    assert torch.equal(mask, block(0, 6, 12, 8))  # twice as large, in the middle


def test_who_has_no_place_is_not_pasted() -> None:
    portrait, nothing = random(3, 24, 20), block(0, 0, 0, 0)
    for source, target in ((nothing, block(1, 1, 3, 3)), (block(1, 1, 3, 3), nothing)):
        canvas, mask = pasted(portrait, source, target)
        assert not bool(mask.any()) and float(canvas.flatten(1).std(1).max()) < 1e-6
    whole = torch.ones(24, 20, dtype=torch.bool)
    canvas, mask = pasted(portrait, whole, whole)
    assert bool(mask.all()) and torch.equal(canvas, portrait)


# What the denoiser sees


def seen_by(studio: Any, *controls: Any, steps: int = 3) -> tuple[list[tuple[Any, Tensor]], Tensor]:
    """(t, sample) of each call of the denoiser, and the latents."""
    seen = []
    with attach(studio.pipe, list(controls)):
        hook = studio.pipe.unet.register_forward_pre_hook(
            lambda _, args: seen.append((args[1], args[0].clone()))
        )
        found: Tensor = studio(TEXTS, num_inference_steps=steps)
        hook.remove()
    return seen, found


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_portraits_are_noised_canvases_in_each_step(scheduler: str) -> None:
    studio = Studio("sd")
    pipe = studio.pipe
    if scheduler == "euler":
        pipe.scheduler = EulerDiscreteScheduler.from_config(
            pipe.scheduler.config, timestep_spacing="linspace", clip_sample=None
        )
    stock, _ = seen_by(studio, IsolateSubjects(TWO, soft=0.0))
    subjects, placing = placed_portraits(pipe, TWO, PICTURES)
    seen, found = seen_by(studio, placing)
    assert len(seen) == 3 and bool(found[2].isfinite().all())
    noise = torch.randn(placing.canvases.shape, generator=torch.Generator().manual_seed(0))
    for step, ((t, sample), (_, before)) in enumerate(zip(seen, stock, strict=True)):
        if scheduler == "euler":
            sigma = pipe.scheduler.sigmas[step]
            wanted = (placing.canvases + sigma * noise) / (sigma**2 + 1) ** 0.5
        else:
            wanted = pipe.scheduler.add_noise(placing.canvases, noise, t[None])
        for half in (sample[:2], sample[3:5]):
            torch.testing.assert_close(half, wanted, atol=1e-6, rtol=0)
        assert torch.equal(sample[[2, 5]], before[[2, 5]])  # nobody reads them yet
    pixels = [pasted(_pixels(p), seat(s, (SIDE,) * 2), held(s.where, (SIDE,) * 2, "it"))  # type: ignore[arg-type]
              for s, p in zip(TWO, PICTURES, strict=True)]  # fmt: skip
    for subject, (canvas, mask), z in zip(subjects, pixels, placing.canvases, strict=True):
        assert isinstance(subject.seat, Tensor) and torch.equal(subject.seat.bool(), mask)
        shown = Image.fromarray((canvas * 255).round().byte().permute(1, 2, 0).numpy())
        with torch.no_grad():
            torch.testing.assert_close(clean_latents(pipe, [shown], (SIDE,) * 2)[0], z)


def _pixels(image: Image.Image) -> Tensor:
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(image.height, image.width, 3).permute(2, 0, 1) / 255


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd-inpaint-9"])
def test_the_scene_reads_them_and_nothing_is_left(name: str) -> None:
    studio = Studio(name)
    base, before = studio(TEXTS, num_inference_steps=2), traces(studio.pipe)
    subjects, placing = placed_portraits(studio.pipe, TWO, PICTURES)

    def run(*controls: Any) -> Tensor:
        with attach(studio.pipe, list(controls)):
            found: Tensor = studio(TEXTS, num_inference_steps=2)
        return found

    assert torch.equal(run(placing)[2], base[2])
    read = run(placing, RepositionSubjects(subjects, move=False))
    tokens = run(RepositionSubjects(TWO))
    assert bool(read[2].isfinite().all())
    assert not torch.equal(read[2], base[2]) and not torch.equal(read[2], tokens[2])
    assert torch.equal(run(placing, RepositionSubjects(subjects, move=False)), read)
    assert torch.equal(studio(TEXTS, num_inference_steps=2), base)
    assert traces(studio.pipe) == before


def test_levels_lie_on_a_circle_also_without_any_signal() -> None:
    table = torch.tensor([0.9, 0.5, 0.0])
    control = PlacePortraits(torch.zeros(1, 4, 2, 2), (0,), table)
    for t, alpha in ((0, 0.9), (torch.tensor([1, 1]), 0.5), (2, 0.0)):
        signal, rest = control.levels(t)
        assert abs(signal - alpha**0.5) < 1e-7 and abs(signal**2 + rest**2 - 1) < 1e-7
    signal, rest = control.levels(0.5)
    assert abs(rest / signal - ((1 / 9) ** 0.5 + 1) / 2) < 1e-7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"portraits": (5,)}, "portraits: came prompt 5; the run has 0 to 2"),
        ({"portraits": (0, 1)}, r"canvases: came \[1, 4, 8, 8\]; expected \[2, C, h, w\]"),
        ({"alphas": torch.ones(2, 2)}, r"alphas: came \[2, 2\]; expected \[T\]"),
    ],
)
def test_bad_input_is_said(change: dict[str, Any], message: str) -> None:
    given = {"canvases": torch.zeros(1, 4, 8, 8), "portraits": (0,), "alphas": torch.ones(9)}
    with pytest.raises(ValueError, match=message):
        PlacePortraits(**{**given, **change}).bind(Prompts(tuple(TEXTS), 3, 1, ()))


def test_a_model_that_moves_keys_itself_is_refused() -> None:
    studio = JointStudio("flux")
    with pytest.raises(ValueError, match="FluxPipeline is no UNet with a table of noise levels"):
        placed_portraits(studio.pipe, TWO, PICTURES)
    refused = "controls: place_portraits is for UNets; joint attention knows places"
    for other, channels, side, message in (
        (studio, 4, 8, refused),
        (JointStudio("sd3-dual"), 4, 16, refused),
        (Studio("sd"), 4, 8, r"canvases: came \[1, 4, 8, 8\]; expected those of the run's latents"),
    ):
        wrong = PlacePortraits(torch.zeros(1, channels, side, side), (0,), torch.ones(9))
        with pytest.raises(ValueError, match=message), attach(other.pipe, [wrong]):
            other(TEXTS, num_inference_steps=2)
