"""How far a batch is, on stderr: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from ..batch.claims import Outcome
    from ..batch.journal import Counts

__all__ = ["BatchProgress", "batch_progress"]

_SECONDS = 10.0  # between two lines in a log
_AWHILE = 1.0  # between two counts of lines while planning


class BatchProgress:
    """Told of lines read and of rows done; says the time left and the pictures a minute."""

    def __init__(self, bar: Progress | None, *, quiet: bool) -> None:
        from ..batch.pace import Pace

        self._bar, self._quiet = bar, quiet
        self._task = None if bar is None else bar.add_task("planning", total=None)
        self._last = monotonic()
        self._pace = Pace()

    def planned(self, lines: int) -> None:
        """So many lines of the manifest have been read."""
        self._say(f"{lines} lines read", 0, None, _AWHILE if self._bar else _SECONDS)

    def told(self, found: list[Outcome], before: Counts) -> None:
        """What has come of rows. before: the counts when this process began."""
        now = self._pace.told(found, before)
        text = f"{now.done}/{now.total} rows, {now.pictures_a_minute:.1f} pictures/minute, "
        text += f"{_clock(now.seconds_left)} left"
        text += f", {now.failed} failed" if now.failed else ""
        least = 0.0 if self._bar else _SECONDS
        self._say(text, now.done, now.total, least, last=now.done == now.total)

    def _say(
        self, text: str, done: int, total: int | None, every: float, *, last: bool = False
    ) -> None:
        now = monotonic()
        if self._quiet or (now - self._last < every and not last):
            return
        self._last = now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def batch_progress(*, quiet: bool) -> Iterator[BatchProgress]:
    """Yields what is to be told."""
    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        yield BatchProgress(None, quiet=quiet)
        return
    columns = (BarColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        yield BatchProgress(bar, quiet=False)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
