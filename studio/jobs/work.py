"""What a worker does: take a job, run it, say how far it is, write down what came of it.

A runner is any callable `(job, report) -> JSON object`. It raises when it cannot: a ValueError's
sentence is shown as it is, as is that of an UnavailableError. When `report.to_stop()` turns true it
raises as soon as it can, whatever it raises. A long job that can go on later raises GaveWay.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Any, TypeAlias

from ..device import UnavailableError
from .claims import Claims
from .job import Job
from .journal import Journal
from .leases import new_worker

__all__ = ["LEASE_S", "GaveWay", "MakeRunner", "Report", "Runner", "work"]

LEASE_S = 15.0
_BEATS = 5  # in a lease
_IDLE_S = 0.1
_PREVIEW_S = 0.5  # between two previews
_log = logging.getLogger(__name__)


class GaveWay(Exception):  # noqa: N818  a wish, not an error
    """A runner has left the rest of its job for later, since others wait."""


class Report:
    """What a runner tells the journal while it works, and what it is told."""

    def __init__(self, claims: Claims, job: int) -> None:
        self._claims, self._job = claims, job
        self._next_preview = 0.0

    def progress(self, done: int, total: int) -> None:
        """So many of so many steps are done."""
        self._claims.progress(self._job, done, total)

    def so_far(self, result: Mapping[str, Any]) -> None:
        """What there is already of what the runner will return."""
        self._claims.so_far(self._job, result)

    def wants_preview(self) -> bool:
        """Whether the last preview is old enough for a new one to be worth making."""
        return time.monotonic() >= self._next_preview

    def preview(self, picture: bytes) -> None:
        """How it looks so far: a small encoded picture."""
        self._next_preview = time.monotonic() + _PREVIEW_S
        self._claims.preview(self._job, picture)

    def to_stop(self) -> bool:
        """Whether to stop: the job was cancelled, or another worker has taken it over."""
        return self._claims.to_stop(self._job)

    def others_wait(self) -> bool:
        """Whether there are jobs that nobody does yet."""
        return self._claims.others_wait()


Runner: TypeAlias = Callable[[Job, Report], Mapping[str, Any]]

MakeRunner: TypeAlias = Callable[[str], Runner]
"""Called once with the device's name, in the worker's own thread or process."""


def work(
    journal: Journal,
    make_runner: MakeRunner,
    device: str,
    *,
    stop: Callable[[], bool],
    lease_s: float = LEASE_S,
) -> None:
    """Do jobs until `stop()`; a job that is running then is finished first."""
    claims, runner = Claims(journal, new_worker(), lease_s), make_runner(device)
    while not stop():
        try:
            job = claims.take()
            if job is None:
                time.sleep(_IDLE_S)
            else:
                _do(claims, job, runner)
        except sqlite3.Error:  # a full disk, say: the lease runs out and the job is tried again
            _log.exception("the journal in %s cannot be written", journal.folder)
            time.sleep(1)


def _do(claims: Claims, job: Job, runner: Runner) -> None:
    report, over = Report(claims, job.id), Event()

    def beat() -> None:
        while not over.wait(claims.lease_s / _BEATS):
            try:
                claims.beat(job.id)
            except sqlite3.Error:
                _log.exception("the lease of job %s was not renewed", job.id)

    pulse = Thread(target=beat, name=f"pulse of {claims.worker}", daemon=True)
    pulse.start()
    try:
        result = runner(job, report)
    except Exception as error:
        if report.to_stop():
            claims.stopped(job.id)
        elif isinstance(error, GaveWay):
            claims.give_back(job.id)
        else:
            _log.info("job %s failed", job.id, exc_info=True)
            claims.fail(job.id, _sentence(error))
    except BaseException:  # this process is told to go
        claims.give_back(job.id)
        raise
    else:
        claims.finish(job.id, result)
    finally:
        over.set()
        pulse.join()


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError | UnavailableError) and text
    return text if plain else f"{type(error).__name__}: {text}"
