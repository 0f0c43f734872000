"""Moves of the latents: their length, their direction, and gradients that are no numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Excite, Interval, Retain, Segregate
from attention_studio.processors.attach import attach
from attention_studio.processors.control import Control

from .conftest import PROMPTS, Studio

TEXT = ["a cat on grass"]
WORDS = ("cat", "grass")


def both(**options: Any) -> list[Control]:
    return [Segregate(WORDS, **options), Retain(WORDS, **options)]


@pytest.mark.parametrize(
    ("options", "length"), [({}, 0.05), ({"step_size": 0.02}, 0.02), ({"weight": 2.0}, 0.1)]
)
def test_a_relative_step_has_the_length_it_says(options: dict[str, Any], length: float) -> None:
    studio = Studio("sd")
    base = studio(TEXT)
    with attach(studio.pipe, both(**options, during=Interval())) as run:
        out = studio(TEXT)
    assert not torch.equal(out, base)
    assert run.nudges[0].lengths[0] == pytest.approx(length, rel=1e-3)  # no mask to retain yet
    assert 0.0 < run.nudges[1].lengths[0] <= 2 * length + 1e-6


def test_two_losses_cost_one_look_and_two_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio("sd")
    looks, slopes, slope = list[bool](), list[object](), torch.autograd.grad

    def counted(*given: Any, **options: Any) -> Any:
        slopes.append(given)
        return slope(*given, **options)

    hook = studio.pipe.unet.register_forward_pre_hook(
        lambda *_: looks.append(torch.is_grad_enabled())
    )
    monkeypatch.setattr(torch.autograd, "grad", counted)
    with attach(studio.pipe, both(during=Interval())):
        studio(TEXT, num_inference_steps=2)
    hook.remove()
    assert sum(looks) == 2 and len(looks) == 4
    assert len(slopes) == 1 + 2  # the first step retains nothing yet


def test_who_does_not_ask_to_look_again_moves_once() -> None:
    studio = Studio("sd")
    again = Excite(WORDS, ((0.0, 1.0),), most=3, step_size=0.001, relative=True)
    for controls in ([again, *both()], [*both(), again]):
        with attach(studio.pipe, controls) as run:
            studio(TEXT, num_inference_steps=1)
        assert run.nudges[0].moves == 4
        assert 0.045 < run.nudges[0].lengths[0] < 0.055


def test_a_small_step_lowers_the_loss() -> None:
    studio = Studio("sd")
    studio.pipe.to(torch.float64)
    found = []
    for most in (0, 1):
        control = Excite(WORDS, ((0.0, 1.0),), most=most, step_size=1e-3, relative=True)
        with attach(studio.pipe, [control]) as run:
            studio(TEXT, num_inference_steps=1)
        found.append(run.nudges[0].losses["Excite"][0])
    assert found[1] < found[0]


def test_what_is_not_finite_is_skipped_and_said() -> None:
    class Wild(Segregate):
        def loss(self, maps: Any, step: Any) -> Tensor:
            found = super().loss(maps, step)
            return found * torch.tensor([float("nan"), 1.0]) if step.index == 1 else found

    studio = Studio("sd")
    base = studio(TEXT, images=2)
    with attach(studio.pipe, [Wild(WORDS, during=Interval())]) as run:
        out = studio(TEXT, images=2)
    assert bool(out.isfinite().all()) and not torch.equal(out, base)
    assert [nudge.skipped for nudge in run.nudges] == [(), (0,), ()]
    with attach(studio.pipe, [Wild(("a", "grass"), during=Interval())]) as run:
        studio(PROMPTS)
    assert any("no finite number" in said for said in run.receipt(torch.zeros(2, 3, 8, 8)).warnings)
