"""What a run kept of a picture stands for it in another run: the same as if it were drawn there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import HeunDiscreteScheduler

from attention_studio.processors import (
    AlignStyle,
    BlendQueries,
    LocalBlend,
    ReadSubjectPrompts,
    RepositionSubjects,
    Subject,
)
from attention_studio.processors.attach import attach
from attention_studio.processors.memory import Memory

from .conftest import SIDE, Studio
from .joint_pipelines import JointStudio
from .test_stock import traces

BEFORE, AFTER = PROMPTS = ["a cat on grass", "a tiger on grass"]
HALF = (0.0, 0.0, 0.5, 1.0)
THERE = (Subject("cat", HALF, 0, HALF),)
CONTROLS = [
    AlignStyle(prompts=(1,)),
    RepositionSubjects(THERE),
    ReadSubjectPrompts(THERE),
    BlendQueries(prompts=(1,), during=AlignStyle().during),
]
"""They read keys, values and text of prompt 0, its queries' statistics, and rehearse prompt 1."""


def denoiser(studio: Any) -> Any:
    return studio.pipe.unet if hasattr(studio.pipe, "unet") else studio.pipe.transformer


def memory(studio: Any) -> Memory:
    names = denoiser(studio).attn_processors
    return Memory(BEFORE, frozenset(name.removesuffix(".processor") for name in names))


@pytest.mark.parametrize("name", ["sd", "sd3-dual", "flux"])
def test_a_remembered_prompt_is_as_good_as_one_that_is_drawn(name: str) -> None:
    studio: Any = Studio("sd", SIDE // 2) if name == "sd" else JointStudio(name)
    if name == "sd":  # two calls of the denoiser to a step
        config = studio.pipe.scheduler.config
        studio.pipe.scheduler = HeunDiscreteScheduler.from_config(config)
    how: dict[str, Any] = {"images": 2, "num_inference_steps": 2}
    stock, before = studio([AFTER], **how), traces(studio.pipe)
    with attach(studio.pipe, CONTROLS) as run:
        together = studio(PROMPTS, **how)[2:]
    kept = memory(studio)
    with attach(studio.pipe, [], keeps=kept):
        studio([BEFORE], **how)
    rows: list[int] = []
    hook = denoiser(studio).register_forward_hook(lambda _, __, out: rows.append(len(out[0])))
    with attach(studio.pipe, CONTROLS, recalls=[kept]) as apart:
        found = studio([AFTER], **how)
    hook.remove()
    assert set(rows) == {2 if name == "flux" else 4}  # the tiger's, in a call for each half or one
    assert run.notes == apart.notes and not torch.allclose(found, stock, atol=1e-2)
    assert float((found - together).abs().max()) <= 1e-5 * float(together.abs().max())
    assert traces(studio.pipe) == before
    assert torch.equal(studio([AFTER], **how), stock)


def test_keeping_leaves_the_bits() -> None:
    studio = Studio("sdxl", SIDE // 2)
    stock, kept = studio([BEFORE]), memory(studio)
    with attach(studio.pipe, [], keeps=kept):
        assert torch.equal(studio([BEFORE]), stock)
    sites = [m for m in studio.pipe.unet.modules() if hasattr(m, "is_cross_attention")]
    tokens = {16: 64, 32: 16}  # at 8 and 4 latents a side
    step = sum(tokens[m.query_dim] * m.query_dim for m in sites if not m.is_cross_attention)
    assert kept.used_bytes == 4 * 2 * (3 * step + 77 * 64)  # both halves, three steps; text once


def test_what_does_not_fit_is_not_kept() -> None:
    studio, told = Studio("sd", SIDE // 2), []
    kept = memory(studio)
    with attach(studio.pipe, [], keeps=kept):
        studio([BEFORE])
    less = Memory(BEFORE, kept.sites, kept.used_bytes // 2, when_over=lambda: told.append(1))
    with attach(studio.pipe, [], keeps=less):
        studio([BEFORE])
    assert less.over and less.used_bytes == 0 and told == [1] and not kept.over


def test_what_has_no_meaning_is_refused() -> None:
    studio = Studio("sd", SIDE // 2)
    kept = memory(studio)
    with (
        pytest.raises(ValueError, match="keeps: came with 2 prompts"),
        attach(studio.pipe, [], keeps=kept),
    ):
        studio(PROMPTS)
    with (
        pytest.raises(ValueError, match=r"was kept without uncond row 0 of \S+ in step 0"),
        attach(studio.pipe, CONTROLS, recalls=[kept]),
    ):
        studio([AFTER])
    moves = [LocalBlend(("cat", "tiger"))]
    with (
        pytest.raises(ValueError, match="recalls: came with LocalBlend, which moves the latents"),
        attach(studio.pipe, moves, recalls=[kept]),
    ):
        pass
    qwen = JointStudio("qwen").pipe
    with (
        pytest.raises(ValueError, match="keeps, recalls: texts of QwenImageTransformer2DModel"),
        attach(qwen, [], keeps=kept),
    ):
        pass
