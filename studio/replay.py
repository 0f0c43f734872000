"""Draws the picture again that a file carries the recipe of, and compares the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .gallery import versions
from .recipe import Recipe
from .result import Result
from .session import Session
from .stored import Stored

__all__ = ["Replay", "replay"]


@dataclass(frozen=True, eq=False)
class Replay:
    """What came out.

    result, index: of the new run, and which of its pictures it is about.
    identical:  whether all pixels are the same; None when the sizes differ.
    difference: the largest difference of a value, 0–255.
    notes:      what is different from then: versions, device, settings that were not taken over.
    """

    result: Result
    index: int
    identical: bool | None
    difference: int | None
    notes: tuple[str, ...]


def replay(
    stored: Stored, session: Session, *, progress: Callable[[int, int], None] | None = None
) -> Replay:
    """Runs the recipe of a picture; ValueError for one that carries none."""
    if stored.recipe is None:
        raise ValueError(f"picture: {'; '.join(stored.notes)}")
    recipe, index = _only(stored.recipe, stored.index)
    result = session.run(recipe, progress=progress)
    then = np.asarray(stored.picture.image(), np.int16)
    now = np.asarray(result.images[index].convert("RGB"), np.int16)
    notes = [*stored.notes]
    if stored.origin == "attention-studio":
        notes += _changed(stored.versions, versions())
        notes += _changed(stored.made, result.made)
    else:
        notes.append("another program drew it, so other pixels are to be expected")
    if then.shape != now.shape:
        (h, w), (height, width) = then.shape[:2], now.shape[:2]
        notes.append(f"the file has {w} x {h} pixels, its recipe draws {width} x {height}")
        return Replay(result, index, None, None, tuple(notes))
    difference = int(np.abs(then - now).max())
    return Replay(result, index, difference == 0, difference, tuple(notes))


def _only(recipe: Recipe, index: int) -> tuple[Recipe, int]:
    """Without controls each picture is a call of its own, so one is enough."""
    if recipe.controls or len(recipe.prompts) == 1:
        return recipe, index
    alone = {"prompts": (recipe.prompts[index],), "seed": recipe.seed + index}
    return recipe.model_copy(update=alone), 0


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {then[name]} then, {now[name]} now"
        for name in sorted(then.keys() & now.keys())
        if then[name] != now[name]
    ]
