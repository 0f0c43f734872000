"""The methods that the suite `compose` sets against each other, as recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..recipe import Recipe
from .compose_prompts import Composed

__all__ = ["DIFFUSERS", "METHODS", "ComposeSettings", "recipe_of"]

DIFFUSERS = "diffusers excite"
METHODS: tuple[str, ...] = (
    "base",
    "excite",
    DIFFUSERS,
    "segregate",
    "retain",
    "a-star",
    "structure",
    "bind",
    "a-star + structure",
)
"""excite is ours, `diffusers excite` its deprecated pipeline, bind SynGen's loss."""


@dataclass(frozen=True)
class ComposeSettings:
    """How far the latents are moved, and for how long.

    step_size, relative: of A-STAR; see `processors.controls.word_objective`.
    excite:  step size of both Attend-and-Excites, never relative.
    guided:  end of the steps in which A-STAR moves.
    overlap: form of A-STAR's ratio.

    Binding moves as its authors have it.
    """

    step_size: float = 0.05
    relative: bool = True
    excite: float = 20.0
    guided: float = 0.3
    overlap: str = "paper"


def recipe_of(method: str, asked: Composed, settings: ComposeSettings, **base: Any) -> Recipe:
    """What is run for a method; that of diffusers is not a recipe, but its base is."""
    a_star = {
        "concepts": asked.nouns,
        "during": (0.0, settings.guided),
        "overlap": settings.overlap,
        "step_size": settings.step_size,
        "relative": settings.relative,
    }
    controls: dict[str, Sequence[dict[str, Any]]] = {
        "excite": [{"control": "excite", "concepts": asked.nouns, "step_size": settings.excite}],
        "segregate": [{"control": "segregate", **a_star}],
        "retain": [{"control": "retain", **a_star}],
        "structure": [{"control": "structure_phrases"}],
        "bind": [{"control": "bind_attributes", "pairs": asked.attributes}]
        if asked.attributes
        else [],
    }
    parts = {"a-star": ("segregate", "retain"), "base": (), DIFFUSERS: ()}
    parts["a-star + structure"] = ("segregate", "retain", "structure")
    chosen = [part for name in parts.get(method, (method,)) for part in controls[name]]
    return Recipe.model_validate(
        {"prompts": (asked.prompt,), "seed": asked.latent_seed, "controls": tuple(chosen), **base}
    )
