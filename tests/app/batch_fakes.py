"""A worker of all pages on the fake session, which also draws batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attention_studio.batch.job import is_batch
from attention_studio.batch.job_runner import BatchRunner
from attention_studio.jobs import Job, Report, Runner
from attention_studio.recipe import Recipe
from attention_studio.result import Result

from .fakes import SLOW_SEED, SLOW_STEP_S, STEP_S, Counting, FakeSession, drawn


class FakeBatchSession(FakeSession):
    """Colours as before; a call of several recipes takes the time of one.

    hold: a call with the slow seed does not end while there is this file.
    """

    pipe = SimpleNamespace()

    def __init__(self, hold: Path) -> None:
        self.hold = hold

    def run(self, recipe: Recipe, **more: Any) -> Result:
        return super().run(recipe, **more) if more else drawn(recipe)

    def run_together(
        self, recipes: Sequence[Recipe], *, cancel: Callable[[], bool]
    ) -> list[Result]:
        slow, left = recipes[0].seed == SLOW_SEED, recipes[0].steps
        while left > 0 or (slow and self.hold.exists()):
            if cancel():
                from attention_studio.processors.run import Cancelled

                raise Cancelled
            time.sleep(SLOW_STEP_S if slow else STEP_S)
            left -= 1
        for recipe in recipes:
            if recipe.negative.startswith("fail"):
                raise ValueError("negative: <b>no</b> *failure*")
        return [self._result(recipe) for recipe in recipes]


def make_both(folder: Path, device: str) -> Runner:
    """As `attention_studio.app.runner` makes it."""
    session: Any = FakeBatchSession(folder / "hold")
    recipes, batches = Counting(folder), BatchRunner(session, folder)

    def run(job: Job, report: Report) -> Mapping[str, Any]:
        return (batches if is_batch(job.options) else recipes)(job, report)

    return run
