"""A batch from its manifest to its report: plan, draw what is left, select, list, pack."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..device import UnavailableError
from ..jobs.leases import new_worker
from ..memory import estimate_bytes
from ..models import describe
from ..recipe import Recipe
from ..whole_files import whole
from .claims import LEASE_S, Claims, Outcome
from .finish import Finished, finish
from .journal import BatchJournal, Counts
from .plan import Settings, plan_once
from .selection import Selection

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Batch", "Summary", "Told", "needs_of", "run_batch", "spooled"]

Told = Callable[[list[Outcome], Counts], None]
"""Called with what has come of rows, as it comes, and with the counts when this process began."""

_SPOOLED = 2**34  # bytes of a manifest from stdin


@dataclass(frozen=True)
class Batch:
    """What to draw, where to, and how.

    out:      folder of the pictures, shared by all shards.
    anew:     take another manifest or other settings than the batch in `out` began with; rows that
              are drawn already stay.
    retry:    also rows that failed.
    workers:  Ray's actors; None = the local engine.
    min_free: bytes that stay free on the disk.
    wds:      pack the kept rows into WebDataset shards.
    lease_s:  how long a process is believed alive without a sign of life.
    """

    settings: Settings
    out: Path
    device: str = "auto"
    dtype: str = "auto"
    folders: Sequence[Path] = ()
    allow_download: bool = False
    anew: bool = False
    retry: bool = False
    workers: int | None = None
    min_free: int = 2**30
    selection: Selection = field(default_factory=Selection)
    wds: bool = False
    lease_s: float = LEASE_S

    @property
    def journal_folder(self) -> Path:
        """Shards have journals of their own: SQLite and network file systems do not go together."""
        i, n = self.settings.shard
        return self.out if n == 1 else self.out / f"shard-{i}-of-{n}"


@dataclass(frozen=True)
class Summary:
    """What came of it.

    ended: every row has been drawn or has failed; else it was stopped.
    drawn: rows that this process drew.
    """

    counts: Counts
    pictures: int
    kept: int
    ended: bool
    drawn: int
    seconds: float
    refused: tuple[tuple[int, str], ...]
    manifest: Path
    report: Path
    index: Path | None
    shards: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        """Whether some rows failed, or lines of the manifest make no row."""
        return bool(self.counts.failed or self.counts.refused)


def run_batch(
    batch: Batch,
    *,
    stop: Callable[[], bool] = lambda: False,
    told: Told | None = None,
    planned: Callable[[int], None] | None = None,
    session: Session | None = None,
) -> Summary:
    """Draws what is not drawn yet.

    stop:    asked after every step.
    planned: how many lines of the manifest have been read.
    session: a warm one; None = one is made when there is something to draw.

    ValueError for a manifest that cannot be read, has no rows, or is another than the batch in
    `out` began with; UnavailableError when the disk is full.
    """
    if batch.selection.top is not None and batch.settings.shard[1] > 1:
        raise ValueError(
            "keep-top: a shard does not know the rows of the others; run the batch once more "
            "without --shard, which draws nothing again"
        )
    try:
        return _run(batch, stop, told, planned, session)
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise UnavailableError(
                f"out: the journal could not be written ({error}); make room and run the same "
                "command again"
            ) from error
        raise


def _run(
    batch: Batch,
    stop: Callable[[], bool],
    told: Told | None,
    planned: Callable[[int], None] | None,
    session: Session | None,
) -> Summary:
    start, worker = time.monotonic(), new_worker()
    journal = BatchJournal(batch.journal_folder)
    try:
        plan_once(journal, batch.settings, worker, needs_of(batch), anew=batch.anew, told=planned)
        if batch.retry:
            journal.retry_failed()
        claims, before = Claims(journal, worker, batch.lease_s), journal.counts()
        drawn = 0

        def heard(found: list[Outcome]) -> None:
            nonlocal drawn
            drawn += len(found)
            if told is not None:
                told(found, before)

        ended = before.waiting == 0 or _draw(batch, claims, journal, stop, heard, session)
        end = Finished(0, ())
        if ended:
            i_of_n = batch.settings.shard
            end = finish(
                journal, batch.out, batch.selection, worker, wds=batch.wds, shard=i_of_n, stop=stop
            )
        counts = journal.counts()
        index = batch.journal_folder / "index.parquet"
        return Summary(
            counts=counts,
            pictures=journal.pictures(),
            kept=end.kept,
            ended=ended,
            drawn=drawn,
            seconds=time.monotonic() - start,
            refused=tuple(journal.refused()),
            manifest=batch.journal_folder / "manifest.out.jsonl",
            report=batch.journal_folder / "report.html",
            index=index if index.is_file() else None,
            shards=end.shards,
        )
    finally:
        journal.close()


def needs_of(batch: Batch) -> Callable[[Recipe], int]:
    """Bytes of a row beside the weights; ValueError for what its model cannot draw."""
    found: dict[str, Any] = {}

    def needs(recipe: Recipe) -> int:
        if recipe.model not in found:
            found[recipe.model] = describe(
                recipe.model, batch.folders, allow_download=batch.allow_download
            )
        about = found[recipe.model]
        device = "cuda" if batch.device.startswith("cuda") else "cpu"
        return estimate_bytes(about.with_size(recipe), about, device)

    return needs


def _draw(
    batch: Batch,
    claims: Claims,
    journal: BatchJournal,
    stop: Callable[[], bool],
    told: Callable[[list[Outcome]], None],
    session: Session | None,
) -> bool:
    if batch.workers is not None:
        from .ray_engine import draw_on_ray

        return draw_on_ray(batch, claims, stop=stop, told=told)
    from ..session import Session
    from .drawer import Drawer
    from .local_engine import draw_waiting
    from .store import Store

    if session is None:
        session = Session(
            device=batch.device,
            dtype=batch.dtype,
            folders=batch.folders,
            allow_download=batch.allow_download,
        )
    store = Store(batch.out, claims.worker, batch.min_free)
    store.tidy()
    return draw_waiting(claims, Drawer(session, cancel=stop), store, stop=stop, told=told)


def spooled(batch: Batch, source: BinaryIO | None = None, folder: Path | None = None) -> Batch:
    """The batch with its manifest in a file of the folder, where it came from stdin."""
    if str(batch.settings.manifest) != "-":
        return batch
    folder = folder or batch.out
    folder.mkdir(parents=True, exist_ok=True)
    i, n = batch.settings.shard
    name = "manifest.in" if n == 1 else f"manifest-{i}-of-{n}.in"
    path, source = folder / name, source or sys.stdin.buffer
    with whole(path) as part, part.open("wb") as file:
        shutil.copyfileobj(source, file, 2**20)
        if file.tell() > _SPOOLED:
            raise ValueError(f"manifest: more than {_SPOOLED} bytes came")
    return replace(batch, settings=replace(batch.settings, manifest=path))
