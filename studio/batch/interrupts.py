"""Ctrl-C once ends the work after the step at hand, twice at once; SIGTERM is like the first."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from typing import Any

__all__ = ["stop_when_asked"]


@contextmanager
def stop_when_asked() -> Iterator[Callable[[], bool]]:
    """Yields what tells whether to stop. Outside the main thread nobody can ask."""
    asked = Event()

    def first(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print("stopping after this step; once more stops at once", file=sys.stderr)

    signals = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, first) for number in signals}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
