"""Leases on jobs and on calls of a batch: one mechanism, whose every step goes by an index."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attention_studio.batch.claims import Claims as CallClaims
from attention_studio.batch.journal import BatchJournal
from attention_studio.jobs import Journal
from attention_studio.jobs.claims import Claims as JobClaims
from attention_studio.jobs.leases import new_worker, vanished
from attention_studio.jobs.records import Records

Make = Callable[[str], Any]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["jobs", "calls"])
def base(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> tuple[Records, Make]:
    """Two rows that wait, and what makes a worker of them, by its name."""
    if request.param == "jobs":
        journal = Journal(tmp_path, clock=clock)
        for name in ("cat", "dog"):
            journal.submit({"name": name}, {}, "ann")
        return journal, lambda worker: JobClaims(journal, worker, 10)
    batch = BatchJournal(tmp_path, clock=clock)
    for number in (1, 2):
        batch.change("INSERT INTO calls (number, model) VALUES (?, 0)", number)
    return batch, lambda worker: CallClaims(batch, worker, 10)


def _states(records: Records) -> list[tuple[str, int]]:
    table = "jobs" if isinstance(records, Journal) else "calls"
    return [tuple(row) for row in records.all(f"SELECT state, tries FROM {table}")]


def test_taken_held_and_given_back(base: tuple[Records, Make], clock: Clock) -> None:
    records, make = base
    one, other = make("one"), make("other")
    assert one.take() is not None and one.holds(1) and not other.holds(1)
    assert other.take() is not None and other.idle()
    other.give_back(1)  # not its own
    clock.now += 9
    one.beat()
    clock.now += 9
    assert one.take() is not None and one.holds(1) and one.holds(2)
    assert _states(records) == [("running", 1), ("running", 2)]
    one.give_back(2)
    assert _states(records) == [("running", 1), ("waiting", 1)]
    one.give_back()
    assert _states(records) == [("waiting", 0), ("waiting", 1)]


def test_a_worker_that_died_here_is_seen_at_once(base: tuple[Records, Make]) -> None:
    records, make = base
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    host = socket.gethostname()
    gone = make(f"{host}:{child}:gone")
    assert gone.take() is not None
    here = make(new_worker())
    assert not here.idle()
    assert here.take() is not None and here.take() is not None and here.holds(1)
    assert _states(records) == [("running", 2), ("running", 1)]


def test_no_step_reads_a_whole_table(base: tuple[Records, Make], clock: Clock) -> None:
    """A million rows would make it crawl."""
    records, make = base
    said: list[str] = []
    records._base.set_trace_callback(said.append)
    lost, worker = make("lost"), make("worker")
    lost.take()
    clock.now += 11
    worker.idle()
    worker.take()
    worker.beat()
    worker.beat(1)
    worker.holds(1)
    worker.give_back()
    records._base.set_trace_callback(None)
    table = "jobs" if isinstance(records, Journal) else "calls"
    asked = [query for query in said if table in query]
    assert len(asked) > 8
    for query in asked:
        for row in records.all(f"EXPLAIN QUERY PLAN {query}"):
            whole = row["detail"].startswith(f"SCAN {table}") and "INDEX" not in row["detail"]
            assert not whole, (query, row["detail"])


@pytest.mark.parametrize("worker", ["w", "a:b", "elsewhere:1:x", f"{socket.gethostname()}:x:y"])
def test_other_names_do_not_vanish(worker: str) -> None:
    assert not vanished(worker)
    assert not vanished(new_worker())
