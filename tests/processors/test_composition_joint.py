"""Objectives where image and text share one softmax: SD 3, FLUX, Qwen-Image."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attention_studio.processors import Excite, Interval, Retain, Rows, Segregate
from attention_studio.processors.attach import attach

from .joint_pipelines import JointStudio

NAMES = ["sd3", "flux", "qwen"]
WORDS = ("tiger", "grass")


@pytest.mark.parametrize("name", NAMES)
def test_a_small_step_lowers_the_loss(name: str) -> None:
    studio = JointStudio(name)
    studio.pipe.to(torch.float64)
    found = []
    for most in (0, 1):
        control = Excite(
            WORDS,
            ((0.0, 1.0),),
            most=most,
            renorm="linear",
            step_size=1e-3,
            relative=True,
            rows=Rows.COND_EDIT,
        )
        with attach(studio.pipe, [control]) as run:
            studio(num_inference_steps=1)
        found.append(run.nudges[0].losses["Excite"][1])
        assert run.nudges[0].lengths[0] == 0.0
        assert run.nudges[0].lengths[1] == pytest.approx(1e-3 * (most + 1), rel=0.05)
    assert found[1] < found[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_star_changes_the_edit_alone(name: str) -> None:
    studio = JointStudio(name)
    base = studio(num_inference_steps=2)
    options: dict[str, Any] = {"during": Interval(), "rows": Rows.COND_EDIT}
    a_star = [Segregate(WORDS, **options), Retain(WORDS, **options)]
    with attach(studio.pipe, a_star) as run:
        out = studio(num_inference_steps=2)
    assert torch.equal(out[0], base[0]) and not torch.equal(out[1], base[1])
    assert run.nudges[1].losses["Retain"][1] > 0
    assert torch.equal(studio(num_inference_steps=2), base)
