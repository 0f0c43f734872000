"""Distillation in bf16 autocast: norms in fp32 as on CUDA, and backward in its own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from attention_studio.distill import distill
from attention_studio.processors import LocalWindow
from attention_studio.processors.standing import standing

from ..processors.joint_pipelines import JointStudio
from .test_distill import PROMPTS, SETTINGS, losses, parameters


@pytest.fixture(autouse=True)
def own_state() -> Iterator[None]:
    """accelerate keeps the precision of the first run of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def like_cuda(transformer: nn.Module) -> None:
    """There autocast has norms give fp32."""
    for name, module in transformer.named_modules():
        if name.rpartition(".")[2] in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            module.register_forward_hook(lambda _module, _inputs, out: out.float())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_bf16_teaches_what_fp32_does(tmp_path: Path, checkpointing: bool) -> None:
    settings = replace(SETTINGS, steps=3, checkpointing=checkpointing)
    found, trained = [], []
    for kind in ("no", "bf16"):
        AcceleratorState._reset_state(reset_partial_state=True)
        studio = JointStudio("flux")
        like_cuda(studio.pipe.transformer)
        distill(studio.pipe, PROMPTS, settings, tmp_path / kind, mixed_precision=kind, cpu=True)
        found.append(losses(tmp_path / kind))
        trained.append(parameters(studio.pipe))
    assert found[0] != found[1] == pytest.approx(found[0], rel=0.02)
    before = parameters(JointStudio("flux").pipe)
    moved = [torch.cat([(p[n] - before[n]).flatten() for n in before]) for p in trained]
    assert moved[1].dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.9


@pytest.mark.parametrize("pooled", [None, 2])
def test_windows_read_norms_of_fp32_beside_values_of_bf16(pooled: int | None) -> None:
    studio = JointStudio("flux")
    inputs: list[dict[str, Any]] = []

    def keep(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        inputs.append(kwargs)

    hook = studio.pipe.transformer.register_forward_pre_hook(keep, with_kwargs=True)
    studio(guidance=1.0)
    hook.remove()
    like_cuda(studio.pipe.transformer)

    def predicted() -> Tensor:
        with torch.no_grad(), standing(studio.pipe, studio.pipe.transformer, [window]):
            out: Tensor = studio.pipe.transformer(**inputs[0])[0]
        return out

    window = LocalWindow(2, pooled=pooled)
    expected = predicted()
    with torch.autocast("cpu", torch.bfloat16):
        found = predicted()
    assert found.dtype == torch.bfloat16
    assert 0 < (found - expected).norm() / expected.norm() < 0.03
