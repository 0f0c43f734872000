"""Workers with fake runners: threads, child processes, two processes on one journal, kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from attention_studio.jobs import Journal, State, Worker, start_worker

from .runners import counting, placed

RUNNERS = Path(__file__).with_name("runners.py")


def _until(true: Callable[[], Any], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    started = start_worker(tmp_path, counting, "cpu")  # type: ignore[arg-type]
    yield started
    started.stop(5)


def _state(journal: Journal, job: int) -> State:
    return journal.get(job).state


def test_a_thread_does_the_jobs(journal: Journal, worker: Worker) -> None:
    jobs = [journal.submit({"name": f"{i}", "steps": 2}, {}, "ann").id for i in range(5)]
    _until(lambda: journal.counts()[State.done] == 5)
    assert [journal.get(job).result for job in jobs] == [
        {"name": f"{i}", "device": "cpu"} for i in range(5)
    ]
    assert (journal.get(jobs[0]).done, journal.get(jobs[0]).total) == (2, 2)
    worker.stop()
    assert not worker.alive


def test_a_failure_is_one_sentence_and_the_next_job_runs(journal: Journal, worker: Worker) -> None:
    bad = journal.submit({"name": "bad", "fail": "word: 'dog' is\nnot there"}, {}, "ann").id
    good = journal.submit({"name": "good"}, {}, "ann").id
    _until(lambda: _state(journal, good) is State.done)
    assert journal.get(bad).error == "word: 'dog' is not there"


def test_cancel_takes_effect_within_a_step(journal: Journal, worker: Worker) -> None:
    job = journal.submit({"name": "long", "steps": 200, "step_s": 0.05}, {}, "ann").id
    _until(lambda: journal.get(job).done >= 2)
    assert journal.preview_of(job) is not None
    asked = time.monotonic()
    journal.cancel(job, "ann")
    _until(lambda: _state(journal, job) is State.cancelled)
    assert time.monotonic() - asked < 1.0
    assert journal.get(job).done < 100


def test_the_pulse_holds_a_job_longer_than_its_lease(tmp_path: Path, journal: Journal) -> None:
    first = start_worker(tmp_path, counting, "cpu", lease_s=0.5)  # type: ignore[arg-type]
    job = journal.submit({"name": "one long step", "steps": 1, "step_s": 1.5}, {}, "ann").id
    _until(lambda: _state(journal, job) is State.running)
    second = start_worker(tmp_path, counting, "cpu", lease_s=0.5)  # type: ignore[arg-type]
    _until(lambda: _state(journal, job) is State.done)
    assert journal.get(job).tries == 1
    first.stop(5)
    second.stop(5)


def _process(folder: Path, lease_s: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(RUNNERS), str(folder), str(lease_s)])


def test_kill_9_loses_nothing(tmp_path: Path, journal: Journal) -> None:
    log = tmp_path / "log"
    jobs = [
        journal.submit({"name": f"{i}", "steps": 20, "step_s": 0.02, "log": str(log)}, {}, "ann").id
        for i in range(4)
    ]
    killed = _process(tmp_path, 1.0)
    _until(lambda: _state(journal, jobs[1]) is State.running and journal.get(jobs[1]).done > 3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert _state(journal, jobs[1]) is State.running  # nobody knows yet
    after = _process(tmp_path, 1.0)
    try:
        _until(lambda: journal.counts()[State.done] == 4)
    finally:
        after.kill()
        after.wait()
    assert [journal.get(job).tries for job in jobs] == [1, 2, 1, 1]
    assert sorted(log.read_text().split()) == ["0", "1", "1", "2", "3"]


def test_two_processes_share_one_journal(tmp_path: Path, journal: Journal) -> None:
    log = tmp_path / "log"
    with journal.transaction():
        for i in range(30):
            recipe = {"name": f"{i}", "steps": 2, "step_s": 0.02, "log": str(log)}
            journal.submit(recipe, {}, f"owner {i % 3}")
    both = [_process(tmp_path, 15.0) for _ in range(2)]
    seen = set()

    def done() -> bool:
        seen.update(
            row["worker"] for row in journal.all("SELECT worker FROM jobs") if row["worker"]
        )
        return journal.counts()[State.done] == 30

    try:
        _until(done)
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert len(seen) == 2
    assert sorted(log.read_text().split(), key=int) == [f"{i}" for i in range(30)]


def _dying(flag: Path, device: str) -> Any:
    """The first child dies in its first job, as a crash of the driver would make it."""
    run: Any = counting(device)

    def once(job: Any, report: Any) -> Any:
        if not flag.exists():
            flag.touch()
            os._exit(11)
        return run(job, report)

    return once


def test_a_child_process_that_dies_is_started_again(
    tmp_path: Path, root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root))  # the child looks for this module's name there
    make = partial(_dying, tmp_path / "died")
    started = start_worker(tmp_path, make, "fake", apart=True, lease_s=1.0)
    job = journal.submit({"name": "cat", "steps": 3, "step_s": 0.01}, {}, "ann").id
    _until(lambda: _state(journal, job) is State.done, 40)
    assert (journal.get(job).tries, journal.get(job).result) == (
        2,
        {"name": "cat", "device": "fake"},
    )
    long = journal.submit({"name": "long", "steps": 500, "step_s": 0.02}, {}, "ann").id
    _until(lambda: journal.get(long).done > 2)
    journal.cancel(long, "ann")
    _until(lambda: _state(journal, long) is State.cancelled)
    started.stop(10)
    assert not started.alive


@pytest.mark.skipif(not hasattr(os, "setsid"), reason="sessions are a thing of POSIX")
def test_a_child_lets_all_others_go_first(
    tmp_path: Path, root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root))
    started = start_worker(tmp_path, placed, "fake", apart=True)  # type: ignore[arg-type]
    job = journal.submit({}, {}, "ann").id
    _until(lambda: _state(journal, job) is State.done)
    started.stop(10)
    found = journal.get(job).result
    assert found is not None
    assert found["nice"] >= os.nice(0) + 5
    assert found["session"] != os.getsid(0)
    assert found["autogroup"] is None or found["autogroup"].endswith("nice 5\n")


PARENT = """
import signal, sys, time
from pathlib import Path
from attention_studio.jobs import start_worker
from tests.jobs.runners import counting
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    start_worker(Path(sys.argv[1]), counting, "fake", apart=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_child_goes_with_its_parent_and_puts_the_job_back(
    sent: signal.Signals, tmp_path: Path, root: Path, journal: Journal
) -> None:
    job = journal.submit({"name": "long", "steps": 1000, "step_s": 0.05}, {}, "ann").id
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    _until(lambda: journal.get(job).done >= 2, 60)
    parent.send_signal(sent)
    _until(lambda: _state(journal, job) is State.waiting)
    _, said = parent.communicate(timeout=20)  # ends when the child too has let go of stderr
    assert said == ""
    assert journal.get(job).tries == 0


def test_a_result_is_there_before_the_job_is_done(journal: Journal, worker: Worker) -> None:
    job = journal.submit({"name": "cat", "steps": 200, "step_s": 0.05, "so_far": 1}, {}, "ann").id
    _until(lambda: journal.get(job).result is not None)
    assert journal.get(job).state is State.running
    assert journal.get(job).result == {"so": "far"}
    journal.cancel(job, "ann")
    _until(lambda: _state(journal, job) is State.cancelled)
    assert journal.get(job).result == {"so": "far"}
