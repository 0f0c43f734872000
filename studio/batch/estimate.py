"""What a batch will take, before it begins: rows, calls, memory, time.

Time is measured, not guessed: the first row is drawn with one step and with two, and the others are
scaled by their pictures, pixels, steps and guidance. ours: rough, but of the right size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from ..device import UnavailableError
from ..jobs.leases import new_worker
from ..recipe import Recipe
from .journal import BatchJournal, Counts
from .plan import plan_once
from .run import Batch, needs_of

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Estimate", "estimate"]

_TRIED = 5


@dataclass(frozen=True)
class Estimate:
    """What was found out.

    memory:  bytes of the largest call beside the weights, roughly.
    seconds: of drawing everything, roughly; None when nothing was measured.
    refused: the first lines that make no row, and why.
    """

    counts: Counts
    calls: int
    pictures: int
    memory: int
    seconds: float | None
    refused: tuple[tuple[int, str], ...]


def estimate(
    batch: Batch,
    *,
    session: Session | None = None,
    planned: Callable[[int], None] | None = None,
) -> Estimate:
    """Makes the plan in a folder that is thrown away. session: to measure with; None = not."""
    with tempfile.TemporaryDirectory(prefix="attention-studio-plan-") as folder:
        journal = BatchJournal(Path(folder))
        try:
            plan_once(journal, batch.settings, new_worker(), needs_of(batch), told=planned)
            calls, memory = 0, 0
            sizes = journal.all(
                "SELECT frames.needs AS needs, COUNT(*) AS count FROM items JOIN frames "
                "ON frames.number = items.frame WHERE state = 'waiting' GROUP BY call"
            )
            for row in sizes:
                calls += 1
                memory = max(memory, row["needs"] * row["count"])
            cost = None if session is None else _first_cost(session, journal)
            pictures, seconds = 0, 0.0
            frames = journal.all(
                "SELECT frames.recipe AS recipe, COUNT(*) AS count FROM items JOIN frames "
                "ON frames.number = items.frame WHERE state = 'waiting' GROUP BY items.frame"
            )
            for row in frames:
                recipe = Recipe.model_validate_json(row["recipe"])
                pictures += len(recipe.prompts) * row["count"]
                if cost is not None:
                    seconds += cost(recipe) * row["count"]
            return Estimate(
                counts=journal.counts(),
                calls=calls,
                pictures=pictures,
                memory=memory,
                seconds=None if cost is None else seconds,
                refused=tuple(journal.refused()),
            )
        finally:
            journal.close()


def _first_cost(session: Session, journal: BatchJournal) -> Callable[[Recipe], float] | None:
    """Of the first row that can be drawn; None when the first few cannot."""
    for item in journal.items(state="waiting", limit=_TRIED):
        with suppress(ValueError, UnavailableError):
            return _measured(session, item.row.recipe)
    return None


def _measured(session: Session, recipe: Recipe) -> Callable[[Recipe], float]:
    """Seconds of a recipe: fixed for each picture, and for each step of it."""
    session.warm(recipe.model)
    spent = []
    for steps in (1, 1, 2):  # the first one is never the fastest
        start = perf_counter()
        session.run(recipe.model_copy(update={"steps": steps}))
        spent.append(perf_counter() - start)
    step = max(spent[2] - spent[1], 0.0) / _rows(recipe)
    fixed = max(spent[1] - step * _rows(recipe), 0.0) / len(recipe.prompts)
    return lambda other: (
        ((fixed * len(other.prompts) + step * _rows(other) * other.steps) * _pixels(other))
        / _pixels(recipe)
    )


def _rows(recipe: Recipe) -> int:
    return len(recipe.prompts) * (2 if recipe.guidance > 1 else 1)


def _pixels(recipe: Recipe) -> int:
    return recipe.size[0] * recipe.size[1] if recipe.size is not None else 1
