"""Made-up calls for tests of the engine: one source, two edits, guidance in one batch."""

from __future__ import annotations

import torch

from attention_studio.processors.call import (
    Batch,
    Call,
    Kind,
    Role,
    Row,
    Segments,
    Site,
    Stage,
    Step,
)
from attention_studio.processors.tensors import Given

__all__ = ["GRID", "TOKENS", "a_call", "a_site", "a_step"]

GRID = (5, 7)
TOKENS = 9


def a_site(kind: Kind = Kind.CROSS) -> Site:
    text = kind is not Kind.SELF
    return Site("up.0.attn", "unet", kind, Stage.UP, 0, 0, 16, has_text=text, maps=text)


def a_step(index: int = 0, count: int = 10) -> Step:
    return Step(index, index, count, 1.0)


def a_call(kind: Kind = Kind.CROSS, *, prompts: int = 3, images: int = 2, seed: int = 0) -> Call:
    """fp32; [uncond; cond] of prompts × images rows, H = 3, D = 8."""
    draw = torch.Generator().manual_seed(seed)
    rows = tuple(
        Row(prompt, image, role)
        for role in (Role.UNCOND, Role.COND)
        for prompt in range(prompts)
        for image in range(images)
    )
    image = Segments(image=slice(0, GRID[0] * GRID[1]), grid=GRID)
    text = Segments(text=slice(0, TOKENS))
    sizes = (
        GRID[0] * GRID[1],
        *((TOKENS,) * 2 if kind is Kind.CROSS else (GRID[0] * GRID[1],) * 2),
    )
    q, k, v = (torch.randn(len(rows), 3, size, 8, generator=draw) * 2 for size in sizes)
    return Call(
        Given(q, k, v),
        a_site(kind),
        a_step(),
        Batch(rows),
        image,
        text if kind is Kind.CROSS else image,
    )
