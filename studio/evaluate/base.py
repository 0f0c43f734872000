"""How well a model draws what its prompt says, by the judge, in groups of prompts.

A group is a number of objects, and whether training could see the combination of noun with noun
and noun with colour ("seen") or never did ("held out").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..emoji.sample import sample_plan
from ..generate import Progress, Verdict, run
from ..recipe import Recipe

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from ..models import Model

__all__ = ["Figures", "Table", "evaluate_base"]

GROUPS: tuple[tuple[str, int, bool], ...] = (
    ("1 object, seen", 1, False),
    ("1 object, held out", 1, True),
    ("2 objects, seen", 2, False),
    ("2 objects, held out", 2, True),
    ("3 objects, seen", 3, False),
)


@dataclass(frozen=True)
class Figures:
    """Fractions of a group's pictures that are right; None where no prompt asked for it."""

    group: str
    pictures: int
    nouns: float | None
    colours: float | None
    relation: float | None
    background: float | None
    style: float | None


@dataclass(frozen=True)
class Table:
    """What was measured, on which settings, in how many seconds."""

    model: str
    version: str | None
    steps: int
    guidance: float
    seed: int
    seconds: float
    figures: tuple[Figures, ...]


def evaluate_base(
    pipe: DiffusionPipeline,
    model: Model,
    *,
    count: int = 200,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Table:
    """Draw and judge `count` prompts, spread evenly over the groups; at least one a group."""
    if not model.nouns:
        raise ValueError(
            f"model: {model.name} does not draw emoji world; the judge cannot score it"
        )
    if count < len(GROUPS):
        raise ValueError(f"count: {count} came; expected at least {len(GROUPS)}, one a group")
    sizes = [len(part) for part in np.array_split(np.arange(count), len(GROUPS))]
    rng = np.random.default_rng(seed)
    prompts = [
        sample_plan(rng, nouns=model.nouns, count=objects, held_out=held_out).caption
        for (_, objects, held_out), size in zip(GROUPS, sizes, strict=True)
        for _ in range(size)
    ]
    recipe = Recipe(
        model=str(model.path), prompts=tuple(prompts), seed=seed, steps=steps, guidance=guidance
    )
    result = run(pipe, recipe, model, progress=progress)
    verdicts = iter(result.verdicts or ())
    figures = tuple(
        _figures(name, [next(verdicts) for _ in range(size)])
        for (name, _, _), size in zip(GROUPS, sizes, strict=True)
    )
    seconds = round(sum(result.timings.values()), 1)
    return Table(model.name, model.version, steps, guidance, seed, seconds, figures)


def _figures(group: str, verdicts: Sequence[Verdict]) -> Figures:
    def rate(field: str) -> float | None:
        answers: list[Any] = [getattr(verdict.score, field) for verdict in verdicts]
        asked = [answer for answer in answers if answer is not None]
        return round(sum(asked) / len(asked), 4) if asked else None

    return Figures(
        group,
        len(verdicts),
        nouns=rate("nouns_ok"),
        colours=rate("colours_ok"),
        relation=rate("relation_ok"),
        background=rate("background_ok"),
        style=rate("style_ok"),
    )
