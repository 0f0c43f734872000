"""Means, budgets and sentences of the recorder."""

from __future__ import annotations

import pytest
import torch

from attention_studio.processors.recorder import Recorder, Word

CAT = Word(0, "cat", (2,))


def test_a_constant_map_stays_what_it_is() -> None:
    recorder = Recorder()
    for _ in range(3):
        recorder.add("me", (2, 3), CAT, 0, torch.full((6,), 0.25))
    assert torch.equal(recorder.maps("me").get("cat"), torch.full((2, 3), 0.25))


def test_each_owner_and_each_grid_has_its_own_mean() -> None:
    recorder = Recorder()
    recorder.add("me", (2, 3), CAT, 0, torch.zeros(6))
    recorder.add("me", (1, 2), CAT, 0, torch.ones(2))
    recorder.add("you", (2, 3), CAT, 0, torch.ones(6))
    maps = recorder.maps("me", "you")
    assert maps.grids == ((2, 3), (1, 2)) and maps.words == ((0, "cat"),)
    assert maps.get("cat", grid=(2, 3)).sum() == 0
    assert recorder.maps("you").get("cat").sum() == 6
    with pytest.raises(ValueError, match=r"grid: came None; recorded: \(1, 2\), \(2, 3\)"):
        maps.get("cat")
    with pytest.raises(ValueError, match="word: 'dog' of prompt 0, image 0 was not recorded"):
        maps.get("dog")


def test_the_budget_is_kept() -> None:
    recorder = Recorder(budget_bytes=100)
    recorder.add("me", (4, 5), CAT, 0, torch.zeros(20))
    recorder.add("me", (4, 5), CAT, 0, torch.zeros(20))
    with pytest.raises(ValueError, match="maps: 2 maps need 160 bytes, the budget is 100"):
        recorder.add("me", (4, 5), CAT, 1, torch.zeros(20))
