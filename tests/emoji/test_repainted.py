"""Repainted scenes: the model's own hand, the scene's truth, nothing learned from what it lost."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from attention_studio.emoji.objects import REJECT
from attention_studio.emoji.render import render
from attention_studio.emoji.sample import sample_plan
from attention_studio.emoji.train.broken import IGNORE
from attention_studio.emoji.train.pictures import to_model
from attention_studio.emoji.train.repainted import repaint, repainted
from attention_studio.emoji.train.run import EMBEDDED

NOUNS = ("ball", "house", "star")


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(EMBEDDED / "emoji-sd", local_files_only=True)


def test_most_things_stay_and_the_rest_is_not_learned_from(pipe: StableDiffusionPipeline) -> None:
    drawn = repainted(pipe, 6, nouns=NOUNS, seed=(1,))
    assert drawn.images.shape == (6, 3, 128, 128)
    assert drawn.images.dtype == torch.uint8
    kept = [row for row in drawn.classes if ((row > 0) & (row != IGNORE)).any()]
    assert len(kept) >= 4
    assert not (drawn.classes == REJECT).any()
    again = repainted(pipe, 6, nouns=NOUNS, seed=(1,))
    assert torch.equal(drawn.images, again.images)


def test_what_a_model_leaves_out_is_not_learned_from(
    pipe: StableDiffusionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that returns what it got loses nothing; one that clears the place loses all."""
    module = importlib.import_module("attention_studio.emoji.train.repainted")
    monkeypatch.setattr(module, "repaint", lambda pipe, images, captions, **_: images)
    same = repainted(pipe, 8, nouns=NOUNS, seed=(2,))
    assert not (same.classes == IGNORE).any()
    monkeypatch.setattr(
        module,
        "repaint",
        lambda pipe, images, captions, **_: images.mean((2, 3), True) + 0 * images,
    )
    cleared = repainted(pipe, 8, nouns=NOUNS, seed=(2,))
    assert (cleared.classes[same.classes > 0] == IGNORE).all()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_first_timestep_gives_the_picture_back(
    pipe: StableDiffusionPipeline, guidance: float
) -> None:
    plan = sample_plan(np.random.default_rng(0), nouns=("ball",), count=1, style=None)
    image = to_model([render(plan).image])
    rng = torch.Generator().manual_seed(0)
    anew = repaint(pipe, image, ["a ball"], timestep=1, guidance=guidance, rng=rng)
    assert float((anew - image).abs().mean()) < 0.05
    assert np.isfinite(anew.numpy()).all()
