"""Endless training pictures from a seed, and the conversions between bytes and model inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..plan import Plan
from ..render import Rendered, render
from ..sample import sample_plan

__all__ = ["scenes", "to_model"]


def scenes(
    seed: int | tuple[int, ...], nouns: Sequence[str], size: int, **options: object
) -> Iterator[tuple[Plan, Rendered]]:
    """Scenes that training may see, for ever; `options` go to `sample_plan`."""
    rng = np.random.default_rng(seed)
    while True:
        plan = sample_plan(rng, nouns=nouns, **options)  # type: ignore[arg-type]
        yield plan, render(plan, size)


def to_model(images: Sequence[np.ndarray]) -> Tensor:
    """`[H, W, 3]` uint8 pictures to one `[B, 3, H, W]` float tensor in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
