"""Repainted scenes: the model's own hand, the scene's truth, nothing learned from what it lost."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from attention_studio.emoji.objects import REJECT
from attention_studio.emoji.train.broken import IGNORE
from attention_studio.emoji.train.repainted import repainted
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

    def painter(paint: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        def drawn(image: torch.Tensor, **_: object) -> SimpleNamespace:
            return SimpleNamespace(images=paint(image))

        drawn.set_progress_bar_config = lambda **_: None  # type: ignore[attr-defined]
        return lambda **_: drawn

    name = "StableDiffusionImg2ImgPipeline"
    monkeypatch.setattr(module, name, painter(lambda image: image))
    same = repainted(pipe, 8, nouns=NOUNS, seed=(2,))
    assert not (same.classes == IGNORE).any()
    monkeypatch.setattr(
        module, name, painter(lambda image: image.mean((2, 3), True).expand_as(image))
    )
    cleared = repainted(pipe, 8, nouns=NOUNS, seed=(2,))
    assert (cleared.classes[same.classes > 0] == IGNORE).all()
