"""Progress on stderr: a bar with the time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar"]

_SECONDS = 10.0  # between two lines in a log


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yields what is to be called with the steps done and the steps in all."""
    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        yield _nothing if quiet else _lines(title)
        return
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, start=False)

        def report(done: int, total: int) -> None:
            if done == 1:
                bar.start_task(task)
            bar.update(task, completed=done, total=total)

        yield report


def _nothing(_done: int, _total: int) -> None:
    pass


def _lines(title: str) -> Callable[[int, int], None]:
    last, begun = monotonic(), (0.0, 0)  # when the first of so many steps had been done

    def report(done: int, total: int) -> None:
        nonlocal last, begun
        now = monotonic()
        if not begun[1]:
            begun = (now, done)  # what came before was the model's loading
        elif now - last >= _SECONDS and begun[1] < done < total:
            last = now
            left = (now - begun[0]) / (done - begun[1]) * (total - done)
            print(f"{title} {done}/{total}, about {left:.0f} s left", file=sys.stderr)

    return report
