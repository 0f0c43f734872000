"""Draws what a journal holds in this process, beside any others that do the same."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ..processors.run import Cancelled
from .claims import Claim, Claims, Outcome
from .drawer import Drawer
from .store import Store

__all__ = ["draw_call", "draw_waiting", "pulse", "safely"]

_BEATS = 2  # in a lease
_IDLE_S = 0.2
_log = logging.getLogger(__name__)


def draw_waiting(
    claims: Claims,
    drawer: Drawer,
    store: Store,
    *,
    stop: Callable[[], bool],
    told: Callable[[list[Outcome]], None] | None = None,
) -> bool:
    """Until no call waits and none is drawn elsewhere; False when stopped before.

    told: what has come of rows, as it comes.

    DiskFullError, with everything given back, when there is no more room.
    """
    with pulse(claims):
        try:
            while not stop():
                claim = claims.take()
                if claim is None:
                    if not claims.busy():
                        return True
                    time.sleep(_IDLE_S)
                    continue
                found = draw_call(claim, drawer, store)
                if claims.end(claim.call, found) and told is not None:
                    told(found)
        except Cancelled:
            pass
        finally:
            safely(claims.give_back)
            store.tidy()
    return False


def draw_call(claim: Claim, drawer: Drawer, store: Store) -> list[Outcome]:
    """Draw a call and write its rows; those that are there already are only read."""
    together = len(claim.items)
    waiting = [item for item in claim.items if item.state == "waiting"]
    found = {item.number: store.finished(item, together) for item in waiting}
    if all(outcome is not None for outcome in found.values()):
        return [outcome for outcome in found.values() if outcome is not None]
    store.check_room()
    # All of them, also those that are done: the shape of the call is part of the picture.
    drawn = drawer.draw([item.row.recipe for item in claim.items])
    outcomes = []
    for item, picture in zip(claim.items, drawn, strict=True):
        if item.state != "waiting":
            continue
        there = found[item.number]
        if there is not None:
            outcomes.append(there)
        elif picture.result is None:
            outcomes.append(Outcome(item.number, error=picture.error, trace=picture.trace))
        else:
            outcomes.append(store.save(item, picture, together))
    return outcomes


@contextmanager
def pulse(claims: Claims) -> Iterator[None]:
    """Within the block the calls taken stay this process's."""

    over = Event()

    def beat() -> None:
        while not over.wait(claims.lease_s / _BEATS):
            safely(claims.beat)

    pulse = Thread(target=beat, name=f"pulse of {claims.worker}", daemon=True)
    pulse.start()
    try:
        yield
    finally:
        over.set()
        pulse.join()


def safely(act: Callable[[], None]) -> None:
    """A full disk must not hide why the work ends; leases run out by themselves."""
    try:
        act()
    except sqlite3.Error:
        _log.warning("the journal could not be written", exc_info=True)
