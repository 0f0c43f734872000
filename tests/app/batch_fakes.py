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
    """Colours as before; a call of several recipes takes the time of one."""

    pipe = SimpleNamespace()

    def run(self, recipe: Recipe, **more: Any) -> Result:
        return super().run(recipe, **more) if more else drawn(recipe)

    def run_together(
        self, recipes: Sequence[Recipe], *, cancel: Callable[[], bool]
    ) -> list[Result]:
        for _ in range(recipes[0].steps):
            if cancel():
                from attention_studio.processors.run import Cancelled

                raise Cancelled
            time.sleep(SLOW_STEP_S if recipes[0].seed == SLOW_SEED else STEP_S)
        for recipe in recipes:
            if recipe.negative.startswith("fail"):
                raise ValueError("negative: <b>no</b> *failure*")
        return [self._result(recipe) for recipe in recipes]


def make_both(folder: Path, device: str) -> Runner:
    """As `attention_studio.app.runner` makes it."""
    recipes, batches = Counting(folder), BatchRunner(FakeBatchSession(), folder)  # type: ignore[arg-type]

    def run(job: Job, report: Report) -> Mapping[str, Any]:
        return (batches if is_batch(job.options) else recipes)(job, report)

    return run
