"""Starts the one worker of a device: a thread or a child process, as the caller says.

A child process keeps a crash of the device's driver and the load of sampling away from its parent,
and is started again. It works at a low priority, so that the pages of an app react, and leaves
Ctrl-C to its parent. Told to stop it ends after the job at hand; terminated, or when its parent is
gone, within a step, and puts the job back.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread

from .journal import Journal
from .work import LEASE_S, MakeRunner, work

__all__ = ["Worker", "start_worker"]

_WATCH_S = 0.25
_NICE = 5  # a quarter of a core that another program wants whole
_ENOUGH = "enough"


class Worker:
    """A worker that was started: a handle to stop it."""

    def __init__(self, thread: Thread, stop: Event) -> None:
        self._thread, self._stop = thread, stop

    @property
    def alive(self) -> bool:
        """Whether it still takes jobs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float | None = None) -> None:
        """Take no more jobs; waits for the one that runs, at most so long."""
        self._stop.set()
        self._thread.join(timeout_s)


def start_worker(
    folder: Path,
    make_runner: MakeRunner,
    device: str,
    *,
    apart: bool | None = None,
    lease_s: float = LEASE_S,
) -> Worker:
    """Start the worker of `device` on the journal in `folder`.

    make_runner: a function at the top of a module, or a partial of one, since a child process
                 has to find it.
    apart:       whether in a child process; None: unless the device is "cpu".
    """
    stop = Event()
    watch = _child if (device != "cpu" if apart is None else apart) else _thread
    thread = Thread(
        target=watch,
        args=(folder, make_runner, device, lease_s, stop),
        name=f"worker of {device}",
        daemon=True,
    )
    thread.start()
    return Worker(thread, stop)


def _thread(
    folder: Path, make_runner: MakeRunner, device: str, lease_s: float, stop: Event
) -> None:
    work(Journal(folder), make_runner, device, stop=stop.is_set, lease_s=lease_s)


def _child(folder: Path, make_runner: MakeRunner, device: str, lease_s: float, stop: Event) -> None:
    """Keep a child at work. What it was running when it died is put back when its lease ends."""
    atexit.register(stop.set)  # else a child that ends with this process would be started again
    spawn = multiprocessing.get_context("spawn")
    wait_s = 1.0
    while not stop.is_set():
        theirs, ours = spawn.Pipe(duplex=False)
        child = spawn.Process(
            target=_in_child, args=(folder, make_runner, device, lease_s, theirs), daemon=True
        )
        child.start()
        theirs.close()
        begun = time.monotonic()
        while child.is_alive() and not stop.wait(_WATCH_S):
            pass
        with ours, suppress(OSError):
            ours.send(_ENOUGH)
            child.join()
        wait_s = 1.0 if time.monotonic() - begun > 60 else min(2 * wait_s, 30.0)
        stop.wait(wait_s)


def _in_child(
    folder: Path, make_runner: MakeRunner, device: str, lease_s: float, parent: Connection
) -> None:
    """Work until told that it is enough, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    _step_back()
    enough = Event()
    Thread(target=_listen, args=(parent, enough), name="ear", daemon=True).start()
    work(Journal(folder), make_runner, device, stop=enough.is_set, lease_s=lease_s)


def _step_back() -> None:
    """Let everybody else go first, browsers too.

    Linux's autogroups make niceness count within one session only, and share the CPU evenly between
    sessions: a browser started elsewhere would have to share with the worker. So it leaves its
    parent's session, and the new one is nice.
    """
    if hasattr(os, "nice"):
        os.nice(_NICE)
    if hasattr(os, "setsid"):
        os.setsid()
        with suppress(OSError):  # no Linux, or one without autogroups
            Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")


def _listen(parent: Connection, enough: Event) -> None:
    try:
        parent.recv()
        enough.set()
    except EOFError:
        os.kill(os.getpid(), signal.SIGTERM)


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    sys.exit()
