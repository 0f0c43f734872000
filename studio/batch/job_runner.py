"""The runner of batches as jobs: plans or draws on a warm session, and gives way to other jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs import GaveWay, Job, Report
from .claims import Outcome
from .estimate import estimate
from .job import DRAW, batch_of
from .journal import Counts
from .pace import Pace
from .run import run_batch

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["BatchRunner"]


class BatchRunner:
    """Does jobs of `BatchJob`.

    A plan's result is an `Estimate`; that of a batch a `Standing`, also while it is drawn.

    root: output folder of the app.    models: folders with further models.
    """

    def __init__(self, session: Session, root: Path, models: Sequence[Path] = ()) -> None:
        self._session, self._root, self._models = session, root, models

    def __call__(self, job: Job, report: Report) -> Mapping[str, Any]:
        batch = batch_of(job.recipe, self._root, self._models)
        if json.loads(job.options) != DRAW:
            return asdict(estimate(batch, session=self._session))
        pace, standing, gives_way = Pace(), dict[str, Any](), False

        def told(found: list[Outcome], before: Counts) -> None:
            nonlocal gives_way
            now = pace.told(found, before)
            standing.update(asdict(now))
            report.progress(now.done, now.total)
            report.so_far(standing)
            gives_way = report.others_wait()

        # Between calls for others, so that nothing is drawn twice; within a step when cancelled.
        found = run_batch(
            batch,
            stop=lambda: gives_way or report.to_stop(),
            told=told,
            session=self._session,
        )
        if not found.ended:
            raise GaveWay
        return standing
