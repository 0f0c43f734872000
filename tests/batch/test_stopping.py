"""R8: a wish to stop takes effect within a step, a second one at once; both can be gone on from."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
import torch

from attention_studio import Session
from attention_studio.batch.interrupts import stop_when_asked
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.run import run_batch

from .rows import FOUR, MakeBatch, tree


def test_stopping_at_once_gives_everything_back(
    make_batch: MakeBatch, warm: Session, broken: Any
) -> None:
    """A second Ctrl-C, in the midst of a step."""
    steps: list[int] = []

    def step(_: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt

    calm = make_batch(FOUR[:2], steps=2, out="calm")
    run_batch(calm, session=warm)
    broken(step)
    batch = make_batch(FOUR[:2], steps=2)
    with pytest.raises(KeyboardInterrupt):
        run_batch(batch, session=warm)
    assert not BatchJournal(batch.out).one("SELECT 1 FROM calls WHERE state = 'running'")
    assert not (batch.out / ".parts").exists()
    assert run_batch(batch, session=warm).drawn == 1
    assert tree(batch.out / "pictures") == tree(calm.out / "pictures")


def test_ctrl_c_once_asks_and_twice_ends(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_when_asked() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "once more stops at once" in capsys.readouterr().err


def test_stopping_takes_effect_within_a_step(
    make_batch: MakeBatch, warm: Session, broken: Any
) -> None:
    """What was stopped goes on as if nothing had been."""
    asked, steps = threading.Event(), []

    def step(_: torch.Tensor) -> None:
        steps.append(1)
        if len(steps) == 8:
            asked.set()

    calm = make_batch(FOUR[:2], steps=5, out="calm")
    run_batch(calm, session=warm)
    broken(step)
    batch = make_batch(FOUR[:2], steps=5)
    found = run_batch(batch, session=warm, stop=asked.is_set)
    assert (found.ended, found.counts.done, len(steps)) == (False, 1, 8)
    assert not BatchJournal(batch.out).one("SELECT 1 FROM calls WHERE state = 'running'")
    assert run_batch(batch, session=warm).counts.done == 2
    assert tree(batch.out / "pictures") == tree(calm.out / "pictures")
