"""The journal by itself: one job for one recipe, turns, caps, leases, cancelling."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from attention_studio.jobs import FullError, Journal, State, job_key
from attention_studio.jobs.claims import Claims


class Clock:
    """Time that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Journal:
    return Journal(tmp_path, clock=clock)


def _ask(journal: Journal, name: str, owner: str = "ann", **more: object) -> int:
    return journal.submit({"name": name}, {}, owner, **more).id  # type: ignore[arg-type]


def _order(journal: Journal) -> list[str]:
    """The names of all waiting jobs in the order in which a worker does them."""
    claims, names = Claims(journal, "w", 10), []
    while (job := claims.take()) is not None:
        claims.finish(job.id, {})
        names.append(job.recipe[9:-2])
    return names


def test_a_key_tells_recipes_and_options_apart() -> None:
    assert job_key({"a": 1, "b": 2}, {}) == job_key({"b": 2, "a": 1}, {})
    keys = {job_key({"a": 1}, {}), job_key({"a": 2}, {}), job_key({"a": 1}, {"plain": True})}
    assert len(keys) == 3
    with pytest.raises(ValueError, match="JSON"):
        job_key({"a": float("nan")}, {})


def test_the_same_recipe_is_one_job(journal: Journal) -> None:
    first = _ask(journal, "cat")
    assert _ask(journal, "cat") == _ask(journal, "cat", "bob") == first
    claims = Claims(journal, "w", 10)
    assert claims.take() is not None
    assert _ask(journal, "cat") == first  # running
    claims.finish(first, {"paths": ["a.png"]})
    assert _ask(journal, "cat") == first  # done
    assert journal.get(first).result == {"paths": ["a.png"]}
    again = _ask(journal, "cat", afresh=True)
    assert again != first
    assert journal.get(again).state is State.waiting
    assert journal.find(journal.get(first).key) == journal.get(again)


def test_what_failed_or_was_cancelled_can_be_asked_for_again(journal: Journal) -> None:
    first = _ask(journal, "cat")
    claims = Claims(journal, "w", 10)
    claims.take()
    claims.fail(first, "no such word")
    assert journal.get(first).error == "no such word"
    second = _ask(journal, "cat")
    journal.cancel(second, "ann")
    assert journal.get(second).state is State.cancelled
    assert len({first, second, _ask(journal, "cat")}) == 3


def test_owners_take_turns(journal: Journal) -> None:
    for name in ("a1", "a2", "a3", "a4"):
        _ask(journal, name, "ann")
    for name in ("b1", "b2"):
        _ask(journal, name, "bob")
    ahead = {
        name: journal.ahead(journal.get(i))
        for i, name in enumerate(("a1", "a2", "a3", "a4", "b1", "b2"), start=1)
    }
    assert ahead == {"a1": 1, "a2": 3, "a3": 4, "a4": 5, "b1": 1, "b2": 3}
    assert _order(journal) == ["a1", "b1", "a2", "b2", "a3", "a4"]


def test_who_comes_late_does_not_overtake_for_long(journal: Journal) -> None:
    for i in range(3):
        _ask(journal, f"old{i}", "bob")
    assert len(_order(journal)) == 3  # bob has had three turns
    _ask(journal, "a1", "ann")
    _ask(journal, "a2", "ann")
    _ask(journal, "b1", "bob")
    _ask(journal, "b2", "bob")
    assert _order(journal) == ["a1", "b1", "a2", "b2"]


def test_the_cap_counts_what_waits(journal: Journal) -> None:
    for i in range(10):
        _ask(journal, f"{i}", most_waiting=10)
    with pytest.raises(FullError, match="10 of yours wait already"):
        _ask(journal, "one more", most_waiting=10)
    assert _ask(journal, "3", most_waiting=10) == 4  # one that waits already is no new one
    _ask(journal, "other", "bob", most_waiting=10)
    Claims(journal, "w", 10).take()
    _ask(journal, "one more", most_waiting=10)


def test_a_job_that_two_want_is_cancelled_by_both(journal: Journal) -> None:
    job = _ask(journal, "cat", "ann")
    _ask(journal, "cat", "bob")
    journal.cancel(job, "eve")
    journal.cancel(job, "ann")
    assert journal.get(job).state is State.waiting
    assert journal.get(job).owner == "bob"
    assert [j.id for j in journal.unfinished("bob")] == [job]
    assert journal.unfinished("ann") == ()
    journal.cancel(job, "bob")
    assert journal.get(job).state is State.cancelled


def test_a_running_job_is_told_to_stop(journal: Journal) -> None:
    job = _ask(journal, "cat")
    claims = Claims(journal, "w", 10)
    claims.take()
    assert not claims.to_stop(job)
    claims.progress(job, 2, 5)
    claims.preview(job, b"so far")
    assert (journal.get(job).done, journal.get(job).total) == (2, 5)
    assert journal.preview_of(job) == b"so far"
    journal.cancel(job, "ann")
    assert claims.to_stop(job)
    assert journal.get(job).state is State.running
    claims.stopped(job)
    assert journal.get(job).state is State.cancelled
    assert journal.preview_of(job) is None


def test_a_lost_lease_puts_the_job_back(journal: Journal, clock: Clock) -> None:
    job = _ask(journal, "cat")
    lost, next_one = Claims(journal, "lost", 10), Claims(journal, "next", 10)
    assert lost.take() is not None
    clock.now += 9
    lost.beat(job)
    clock.now += 9
    assert next_one.take() is None  # the beat held it
    clock.now += 2
    taken = next_one.take()
    assert taken is not None
    assert (taken.id, taken.tries) == (job, 2)
    assert lost.to_stop(job)
    lost.progress(job, 7, 9)
    lost.preview(job, b"stale")
    lost.finish(job, {"from": "lost"})
    assert journal.get(job).state is State.running
    assert (journal.get(job).done, journal.preview_of(job)) == (0, None)
    next_one.finish(job, {"from": "next"})
    assert journal.get(job).result == {"from": "next"}


def test_a_job_that_loses_its_worker_again_and_again_fails(journal: Journal, clock: Clock) -> None:
    job = _ask(journal, "cat")
    for n in range(3):
        taken = Claims(journal, f"w{n}", 10).take()
        assert taken is not None
        assert taken.tries == n + 1
        clock.now += 11
    assert Claims(journal, "w4", 10).take() is None
    assert journal.get(job).state is State.failed
    assert "lost 3 times" in str(journal.get(job).error)


def test_a_cancelled_job_whose_worker_is_lost_does_not_come_back(
    journal: Journal, clock: Clock
) -> None:
    job = _ask(journal, "cat")
    Claims(journal, "w", 10).take()
    journal.cancel(job, "ann")
    clock.now += 11
    assert Claims(journal, "w2", 10).take() is None
    assert journal.get(job).state is State.cancelled


def test_text_survives_as_it_is(journal: Journal) -> None:
    text = "猫 👩‍🚀 \u202ertl e\u0301 '; DROP TABLE jobs; -- <b>"
    job = journal.submit({"name": text}, {}, text)
    assert text in journal.get(job.id).recipe
    assert journal.unfinished(text) == (journal.get(job.id),)


def test_many_jobs_in_one_transaction_or_none(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.transaction():
        _ask(journal, "cat")
        raise ZeroDivisionError
    assert sum(journal.counts().values()) == 0
    with journal.transaction():
        for i in range(1000):
            _ask(journal, f"{i}")
    assert journal.counts()[State.waiting] == 1000


def test_another_version_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as base:
        base.execute("PRAGMA user_version = 9")
    with pytest.raises(ValueError, match="has version 9; expected 2"):
        Journal(tmp_path)
