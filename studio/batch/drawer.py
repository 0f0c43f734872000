"""Draws the rows of a call, come what may: tries again, splits the call, says what failed.

A call that fails is tried three times as it is. Then each of its rows is drawn alone, three times
at most, so that a bad row takes no other with it. What a recipe cannot mean to its model is not
tried again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from ..processors.run import Cancelled
from ..recipe import Recipe
from ..result import Result
from ..session import Session
from .decoding import sound_decoding
from .embeddings import Embeddings
from .entries import problem
from .ladder import climb_down, is_out_of_memory

__all__ = ["Drawer", "Drawn"]

_TRIES = 3


@dataclass(frozen=True, eq=False)
class Drawn:
    """What came of one recipe: a result, or a sentence and a traceback.

    steps:   what was done about short memory, and to other calls than planned.
    seconds: its part of the time that its call took.
    """

    result: Result | None
    steps: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    trace: str | None = None


class Drawer:
    """Draws on one session, and remembers the embeddings of prompts.

    cancel: asked after every step; True ends the work by `Cancelled`.
    """

    def __init__(self, session: Session, *, cancel: Callable[[], bool] | None = None) -> None:
        self._session, self._cancel = session, cancel
        self.embeddings = Embeddings()
        self._memory_is_short = False

    def draw(self, recipes: Sequence[Recipe]) -> list[Drawn]:
        """One for each recipe, in their order. Raises nothing but `Cancelled`."""
        found = self._tried(recipes)
        if len(recipes) == 1 or found[0].error is None or self._memory_is_short:
            return found  # the ladder has tried them one by one already
        return [self._alone(recipe) for recipe in recipes]

    def _alone(self, recipe: Recipe) -> Drawn:
        (found,) = self._tried([recipe])
        steps = ("alone, since its call failed", *found.steps)
        return Drawn(found.result, steps, found.seconds, found.error, found.trace)

    def _tried(self, recipes: Sequence[Recipe]) -> list[Drawn]:
        for left in reversed(range(_TRIES)):
            start = perf_counter()
            try:
                results, steps = self._together(recipes)
            except Cancelled:
                raise
            except Exception as error:
                self._memory_is_short = is_out_of_memory(error)
                final = isinstance(error, ValueError) or self._memory_is_short
                if left == 0 or final:
                    said = problem(error) or type(error).__name__
                    said = (
                        said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
                    )
                    trace = "".join(traceback.format_exception(error))
                    return [Drawn(None, error=said, trace=trace[-20_000:])] * len(recipes)
            else:
                self._memory_is_short = False
                spent = (perf_counter() - start) / len(recipes)
                return [Drawn(result, steps, spent) for result in results]
        raise AssertionError("the last try returns")

    def _together(self, recipes: Sequence[Recipe]) -> tuple[list[Result], tuple[str, ...]]:
        session = self._session
        session.warm(recipes[0].model)
        pipe = session.pipe
        with self.embeddings.kept(pipe), sound_decoding(pipe) as said:
            results, steps = climb_down(
                recipes, pipe, lambda part: session.run_together(part, cancel=self._cancel)
            )
        return results, (*steps, *dict.fromkeys(said))
