"""The measure of a scene's attention runs, and refuses figures of ways that differ."""

from __future__ import annotations

import pytest
import torch

from attention_studio.bench import story


def test_every_way_is_measured_once_they_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = story.measure_story(2, side=12, heads=2, repetitions=1)
    assert [row.way for row in rows] == ["stock", "by label", "masked", "scores"]
    assert all(row.milliseconds > 0 for row in rows)
    monkeypatch.setattr(
        story, "attend_by_label", lambda call, *_: (torch.zeros_like(call.q[-1:]), None)
    )
    with pytest.raises(RuntimeError, match="by label differs from the scores' output by"):
        story.measure_story(2, side=12, heads=2, repetitions=1)
