"""What the command `batch` prints: the plan of a dry run, and what came of a run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .pictures import print_json
from .shell import one_line

if TYPE_CHECKING:
    from ..batch.estimate import Estimate
    from ..batch.run import Batch, Summary

__all__ = ["print_plan", "print_summary"]

_SHOWN = 1000  # pictures that --json lists


def print_plan(found: Estimate, *, as_json: bool, quiet: bool) -> None:
    """Rows, calls, memory and time."""
    if as_json:
        print_json(
            {
                "rows": found.counts.rows,
                "calls": found.calls,
                "pictures": found.pictures,
                "memory_bytes": found.memory,
                "seconds": None if found.seconds is None else round(found.seconds, 1),
                "refused": [{"line": line, "error": error} for line, error in found.refused],
                "refused_lines": found.counts.refused,
            }
        )
    elif not quiet:
        print(_plan_text(found))
    _refusals(found.refused, found.counts.refused)


def print_summary(found: Summary, asked: Batch, *, as_json: bool, quiet: bool) -> None:
    """JSON on stdout when asked for, else a few lines; refused lines on stderr in any case."""
    _refusals(found.refused, found.counts.refused)
    if as_json:
        print_json(_as_json(found, asked))
    if quiet:
        return
    to = sys.stderr if as_json else sys.stdout
    counts = found.counts
    state = "ended" if found.ended else "stopped; the same command goes on"
    print(
        f"{state}: {counts.done} of {counts.rows} rows done, {counts.failed} failed; "
        f"{found.drawn} of them in these {found.seconds:.1f} s",
        file=to,
    )
    if found.ended:
        print(f"{found.kept} rows kept\n{found.manifest}\n{found.report}", file=to)


def _as_json(found: Summary, asked: Batch) -> dict[str, Any]:
    from ..batch.first_rows import first_rows

    images, first = first_rows(asked, _SHOWN)
    receipts = first.get("receipts") or [None]
    counts = found.counts
    return {
        "images": images,
        "receipt": receipts[0],
        "judge": first.get("judge"),
        "timings": {"batch": round(found.seconds, 3)},
        "recipe": first.get("recipe"),
        "rows": {
            "all": counts.rows,
            "done": counts.done,
            "failed": counts.failed,
            "waiting": counts.waiting,
            "kept": found.kept,
            "drawn_now": found.drawn,
        },
        "refused_lines": counts.refused,
        "refused": [{"line": line, "error": error} for line, error in found.refused],
        "pictures": found.pictures,
        "manifest": str(found.manifest),
        "index": None if found.index is None else str(found.index),
        "report": str(found.report),
        "shards": [str(path) for path in found.shards],
    }


def _refusals(first: tuple[tuple[int, str], ...], count: int) -> None:
    for line, error in first:
        print(f"warning: line {line} makes no row: {one_line(error)[:300]}", file=sys.stderr)
    if count > len(first):
        print(f"warning: {count - len(first)} more lines make no row", file=sys.stderr)


def _plan_text(found: Estimate) -> str:
    seconds = found.seconds or 0.0
    spent = f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{seconds / 60:.1f} minutes"
    return (
        f"{found.counts.rows} rows, {found.pictures} pictures in {found.calls} calls\n"
        f"memory beside the weights: about {found.memory / 2**20:.0f} MiB\n"
        f"time on this machine: about {spent} (the first row was drawn to measure it)"
    )
