"""A case that takes no time."""

from __future__ import annotations

import pytest
import torch

from attention_studio.bench import Case


@pytest.fixture
def case() -> Case:
    return Case(
        grid=(8, 16),
        text=10,
        radius=3.5,
        heads=2,
        head_dim=8,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
