"""Ends a batch: select, list, pack, report; by one process, and only when something is new."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jobs.leases import is_held
from .journal import BatchJournal
from .selection import Selection, select

__all__ = ["Finished", "finish"]

_WAIT_S = 0.2
_LEASE_S = 600.0


@dataclass(frozen=True)
class Finished:
    """How many rows are kept, and the WebDataset shards they were packed into."""

    kept: int
    shards: tuple[Path, ...]


def finish(
    journal: BatchJournal,
    out: Path,
    selection: Selection,
    worker: str,
    *,
    wds: bool,
    shard: tuple[int, int],
    stop: Callable[[], bool],
) -> Finished:
    """Writes what belongs into the journal's folder; waits where another process does it."""
    home, counts = journal.folder, journal.counts()
    asked = [selection.keep, selection.top, selection.by, wds, counts.done, counts.failed]
    while not stop():
        with journal.transaction():
            done = journal.noted("finished")
            if done is not None and done["asked"] == asked and (home / "report.html").is_file():
                return Finished(int(done["kept"]), tuple(out / name for name in done["shards"]))
            if not _taken(journal.noted("ending"), journal.clock()):
                journal.note("ending", {"worker": worker, "lease": journal.clock() + _LEASE_S})
                break
        time.sleep(_WAIT_S)
    else:
        return Finished(0, ())
    from .outputs import write_index, write_manifest, write_quarantine
    from .packing import pack
    from .report_page import write_report

    try:
        kept = select(journal, selection)
        write_manifest(journal, home / "manifest.out.jsonl")
        write_quarantine(journal, home / "quarantine.jsonl")
        write_index(journal, home / "index.parquet")
        shards = tuple(pack(journal, out, shard)) if wds else ()
        write_report(journal, out, home / "report.html", kept=kept)
        names = [path.relative_to(out).as_posix() for path in shards]
        journal.note("finished", {"asked": asked, "kept": kept, "shards": names})
    finally:
        journal.note("ending", None)
    return Finished(kept, shards)


def _taken(found: Any, now: float) -> bool:
    """Whether another process that is alive does it."""
    return found is not None and is_held(found, now)
