"""Resources: measured in a process of its own, whatever this one holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from attention_studio.evaluate import measure_resources


@pytest.mark.slow
def test_a_tiny_model(tiny_sd: Path) -> None:
    costs = measure_resources(tiny_sd, steps=1, runs=1, threads=1)
    assert (costs.size, costs.threads, costs.steps) == ((32, 32), 1, 1)
    assert 0 < costs.reload_seconds < costs.load_seconds
    assert 0 < costs.picture_seconds < 10
    assert 50e6 < costs.peak_memory_bytes < 4e9


def test_runs_is_checked() -> None:
    with pytest.raises(ValueError, match="runs, steps: 0, 30 came"):
        measure_resources("emoji-sd", runs=0)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        measure_resources(tmp_path / "none")
