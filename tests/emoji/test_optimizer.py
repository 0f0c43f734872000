"""Muon's updates are orthogonal, its step is torch's own, and timesteps fall where they should."""

from __future__ import annotations

import pytest
import torch

from attention_studio.emoji.train.emoji_sd import draw_timesteps
from attention_studio.emoji.train.optimizer import Muon, polar
from attention_studio.emoji.train.precision import autocast, multiplies_bf16


@pytest.mark.parametrize("shape", [(48, 200), (200, 48), (64, 64)])
def test_the_polar_factor_keeps_the_directions_and_evens_the_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ polar(matrix) @ right.T
    values = found.diagonal()
    spread = 0.4 if shape[0] != shape[1] else 1.0  # the least values of a square matrix stay small
    assert values.max() < 1.3 and values.min() > 1.0 - spread
    assert (found - torch.diag(values)).abs().max() < 0.02


def test_a_step_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "attention_studio.emoji.train.optimizer.multiplies_bf16", lambda device: True
    )
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(40, 90)) for _ in range(2))
    muon = Muon([ours])
    stock = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        ours.grad = torch.randn(40, 90)
        theirs.grad = ours.grad.clone()
        muon.step(1e-2)
        stock.step()
    assert torch.allclose(ours, theirs, atol=2e-3) and not torch.equal(ours, torch.ones(40, 90))


def test_timesteps_crowd_where_shapes_are_decided_and_miss_none() -> None:
    torch.manual_seed(0)
    alphas = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)
    drawn = draw_timesteps(alphas, 20_000)
    share = torch.histc(drawn.float(), 10, 0, 999) / len(drawn)
    assert share.min() > 0.015 and share[2:5].sum() > 0.4 and share[8:].sum() < 0.15
    assert drawn.min() >= 0 and drawn.max() < 1000


def test_autocast_only_where_it_pays() -> None:
    with autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype == torch.bfloat16) == multiplies_bf16("cpu")
