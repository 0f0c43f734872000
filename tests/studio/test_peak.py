"""The most memory of a run: counted anew each time, and told with its result."""

from __future__ import annotations

import sys

import pytest

from attention_studio import Recipe, Session
from attention_studio.jobs.session_runner import _said
from attention_studio.peak import Peak

from .conftest import CAT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts anew")


def test_what_was_held_and_let_go_counts_until_the_next_count() -> None:
    size = 200_000_000
    first = Peak("cpu")
    before = first.held()
    assert before is not None
    held = bytearray(size)
    del held
    during = first.held()
    assert during is not None
    assert 0.9 * size < during - before < 1.5 * size
    after = Peak("cpu").held()
    assert after is not None
    assert after < during - size / 2


def test_a_kernel_that_does_not_count_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from attention_studio import peak

    monkeypatch.setattr(peak, "_RESET", peak.Path(str(tmp_path)))  # a folder: nothing to write to
    assert Peak("cpu").held() is None


def test_a_run_tells_it(session: Session) -> None:
    result = session.run(Recipe(model=session.model, prompts=(CAT,), steps=1))
    assert result.peak_bytes is not None
    assert 50e6 < result.peak_bytes < 20e9
    assert _said(result)["peak_bytes"] == result.peak_bytes
