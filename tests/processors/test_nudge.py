"""Moves of the latents: their length, their direction, and gradients that are no numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.processors import Excite, Retain, Segregate
from attention_studio.processors.attach import attach
from attention_studio.processors.control import Control

from .conftest import PROMPTS, Studio

TEXT = ["a cat on grass"]
WORDS = ("cat", "grass")


def both(**options: Any) -> list[Control]:
    return [Segregate(WORDS, **options), Retain(WORDS, **options)]


def test_a_relative_step_has_the_length_it_says() -> None:
    studio = Studio("sd")
    base = studio(TEXT)
    with attach(studio.pipe, both(step_size=0.02, relative=True)) as run:
        out = studio(TEXT)
    assert not torch.equal(out, base)
    assert run.nudges[0].lengths[0] == pytest.approx(0.02, rel=1e-3)  # no mask to retain yet
    assert 0.0 < run.nudges[1].lengths[0] <= 0.04 + 1e-6


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
    with attach(studio.pipe, [Wild(WORDS)]) as run:
        out = studio(TEXT, images=2)
    assert bool(out.isfinite().all()) and not torch.equal(out, base)
    assert [nudge.skipped for nudge in run.nudges] == [(), (0,), ()]
    with attach(studio.pipe, [Wild(("a", "grass"))]) as run:
        studio(PROMPTS)
    assert any("no finite number" in said for said in run.receipt(torch.zeros(2, 3, 8, 8)).warnings)
