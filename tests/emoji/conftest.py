"""A clock for trainers: a short run has as many steps on a slow machine as on a fast one."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace

import pytest


@pytest.fixture
def second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second goes by whenever a trainer looks at its clock, which it does twice a step."""
    looks = count()
    clock = SimpleNamespace(monotonic=lambda: float(next(looks)))
    monkeypatch.setattr("attention_studio.emoji.train.loop.time", clock)
