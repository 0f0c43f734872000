"""What a visitor has set on the page High resolution, and the recipes it means; no Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ..finer_spec import FinerSpec, finer_sizes, finer_steps
from ..models import Model
from ..recipe import Recipe
from ..window_pairs import window_pairs
from .draft import fits, run_of

__all__ = [
    "BESIDES",
    "MOST_NTK",
    "MOST_RADIUS",
    "STRENGTHS",
    "TIMES",
    "Beside",
    "ResolutionDraft",
    "beside",
    "outlook",
    "pairs_said",
]

TIMES = (1, 2, 4)  # the trained size, by steps of 2
STRENGTHS = (0.05, 1.0)
MOST_RADIUS, MOST_NTK = 4096.0, 1000.0
_STEPS = len(TIMES) - 1

Beside: TypeAlias = Literal["nothing", "dense", "at once"]
BESIDES: Mapping[Beside, str] = {
    "nothing": "Nothing",
    "dense": "Full attention",
    "at once": "At once",
}
"""What may be drawn to compare with, and what the page calls it."""


@dataclass(frozen=True)
class ResolutionDraft:
    """One picture, drawn at its trained size and drawn over at larger ones.

    times:     the final size in trained sizes, one of `TIMES`; each step up doubles the sides.
    strengths: part of the denoising that each step up does again.
    radii:     of each step's local windows, in tokens; 0 = full attention.
    ntk:       factor of the rotary base in steps with windows.
    tiled:     whether the autoencoder works tile by tile in steps up.

    The defaults of radius, strength and ntk are those of CLEAR's authors.
    """

    prompt: str = "a red house on grass"
    times: int = 2
    strengths: tuple[float, ...] = (0.7,) * _STEPS
    radii: tuple[float, ...] = (16.0,) * _STEPS
    ntk: float = 10.0
    tiled: bool = False
    model: str = "emoji-sd"
    negative: str = ""
    seed: int = 1
    steps: int = 20
    guidance: float = 5.0
    size: tuple[int, int] | None = None

    def on(self, model: Model | None) -> ResolutionDraft:
        """Without what the model cannot have, such as windows; None, a model that is gone: all."""
        if model is None:
            return self
        radii = self.radii if model.has_windows else (0.0,) * _STEPS
        return replace(self, radii=radii, ntk=self.ntk if model.has_base else 1.0)

    def recipe(self) -> Recipe:
        """ValueError, in one sentence, for what cannot be."""
        steps = TIMES.index(self.times)
        finer = tuple(
            FinerSpec(
                strength=strength,
                radius=radius or None,
                ntk=self.ntk if radius else 1.0,
                tiled=self.tiled,
            )
            for strength, radius in zip(self.strengths[:steps], self.radii[:steps], strict=True)
        )
        return Recipe(prompts=(self.prompt,), finer=finer, **run_of(self))

    @classmethod
    def of(cls, recipe: Recipe) -> ResolutionDraft | None:
        """The draft that means this recipe; None when the page has none."""
        finer = recipe.finer
        if len(recipe.prompts) != 1 or len(finer) > _STEPS or not fits(recipe):
            return None
        rest = _STEPS - len(finer)
        ntk = next((step.ntk for step in finer if step.radius is not None), cls.ntk)
        draft = cls(
            prompt=recipe.prompts[0],
            times=TIMES[len(finer)],
            strengths=(*(step.strength for step in finer), *cls.strengths[:rest]),
            radii=(*(step.radius or 0.0 for step in finer), *cls.radii[:rest]),
            ntk=ntk,
            tiled=any(step.tiled for step in finer),
            **run_of(recipe),
        )
        shown = all(STRENGTHS[0] <= strength <= STRENGTHS[1] for strength in draft.strengths)
        return draft if shown and 1 <= ntk <= MOST_NTK and draft.recipe() == recipe else None


def beside(recipe: Recipe, what: Beside, model: Model) -> Recipe | None:
    """The recipe to compare with, from the same seed; None where it would be the same.

    dense:   no windows, and so neither their scale nor their ntk.
    at once: the first drawing has the final size, and there is no step up.

    ValueError for pictures larger than a recipe may draw at once.
    """
    if what == "dense" and any(step.radius is not None for step in recipe.finer):
        full = {"radius": None, "ntk": 1.0}
        finer = tuple(step.model_copy(update=full) for step in recipe.finer)
        return recipe.model_copy(update={"finer": finer})
    if what == "at once" and recipe.finer:
        size = _sizes(recipe, model)[-1]
        try:
            return Recipe.model_validate(recipe.model_dump() | {"finer": (), "size": size})
        except ValueError as error:
            raise ValueError(
                f"compare: at once it would be {size[1]} × {size[0]} pixels, more than one drawing "
                "may have; choose another comparison, or a smaller size"
            ) from error
    return None


def outlook(recipe: Recipe, model: Model) -> tuple[str, ...]:
    """What will be drawn, a line for each size; ValueError for a size that cannot be."""
    sizes = _sizes(recipe, model)
    said = []
    for number, (height, width) in enumerate(sizes):
        step = recipe.finer[number - 1] if number else None
        count = recipe.steps if step is None else finer_steps(recipe.steps, (step,))
        line = f"{width} × {height} px in {count} {'step' if count == 1 else 'steps'}"
        if model.has_windows:
            rows, columns = (side // model.token_px for side in (height, width))
            line += f": {columns} × {rows} = {rows * columns:,} tokens of the picture, "
            line += pairs_said((rows, columns), None if step is None else step.radius)
        said.append(line + ".")
    return tuple(said)


def pairs_said(grid: tuple[int, int], radius: float | None) -> str:
    """In words, how many pairs of the picture's tokens an attention has, and windows leave out."""
    every = (grid[0] * grid[1]) ** 2
    if radius is None:
        return f"{every:,} pairs between them"
    kept = window_pairs(grid, radius)
    return f"{kept:,} of {every:,} pairs between them; windows leave out {1 - kept / every:.1%}"


def _sizes(recipe: Recipe, model: Model) -> list[tuple[int, int]]:
    """(height, width) in pixels of the first drawing and after each step up."""
    size = model.with_size(recipe).size
    assert size is not None
    return [size, *finer_sizes(size, recipe.finer, model.token_px)]
