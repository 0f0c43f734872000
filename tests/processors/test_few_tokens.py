"""Windows of few tokens on a CPU: a masked attention instead of tiles, with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.disc import disc_attention
from attention_studio.processors import LocalWindow, windows
from attention_studio.processors.attach import attach
from attention_studio.processors.standing import standing

from .joint_pipelines import JOINT, JointStudio


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Has a number for each call of the kernel."""
    calls: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return disc_attention(*args, **kwargs)

    monkeypatch.setattr(windows, "disc_attention", counted)
    yield calls


@pytest.mark.parametrize("pooled", [None, 2])
@pytest.mark.parametrize("name", JOINT)
def test_pictures_are_those_of_the_tiles(
    name: str, pooled: int | None, tiled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> Tensor:
        studio = JointStudio(name)
        with attach(studio.pipe, [LocalWindow(2, pooled)]):
            return studio()

    by_table = drawn()
    assert not tiled
    monkeypatch.setattr(windows, "_FEW", 0)
    by_tiles = drawn()
    assert tiled
    assert torch.allclose(by_table, by_tiles, atol=1e-5)


@pytest.mark.parametrize("pooled", [None, 2])
def test_gradients_are_those_of_the_tiles(
    pooled: int | None, tiled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    pipe = JointStudio("flux").pipe
    transformer = pipe.transformer
    inputs = {
        "hidden_states": torch.randn(1, 64, 16),
        "encoder_hidden_states": torch.randn(1, 24, 32),
        "pooled_projections": torch.randn(1, 16),
        "timestep": torch.tensor([0.5]),
        "img_ids": pipe._prepare_latent_image_ids(1, 8, 8, torch.device("cpu"), torch.float32),
        "txt_ids": torch.zeros(24, 3),
    }

    def gradients() -> list[Tensor]:
        with standing(pipe, transformer, [LocalWindow(2, pooled)], latents=(16, 16)):
            out = transformer(**inputs, return_dict=False)[0]
            parameters = [p for p in transformer.parameters() if p.requires_grad]
            found = torch.autograd.grad(out.square().sum(), parameters, allow_unused=True)
        return [g for g in found if g is not None]

    by_table = gradients()
    assert not tiled
    monkeypatch.setattr(windows, "_FEW_TRAINED", 0)
    by_tiles = gradients()
    assert tiled and by_tiles
    for one, two in zip(by_table, by_tiles, strict=True):
        assert torch.allclose(one, two, atol=1e-5 * float(two.abs().max().clamp_min(1.0)))


def test_a_table_of_inference_serves_training() -> None:
    windows._table.cache_clear()
    with torch.inference_mode():
        made = windows._table(2.0, 3, 4, 4, None, 19, 19)
    assert not made.is_inference() and made is windows._table(2.0, 3, 4, 4, None, 19, 19)


def test_more_tokens_are_tiled(tiled: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    studio = JointStudio("flux")
    monkeypatch.setattr(windows, "_FEW", 64 + 24 - 1)
    with attach(studio.pipe, [LocalWindow(2)]):
        studio()
    assert tiled
