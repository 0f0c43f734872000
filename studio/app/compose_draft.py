"""What a visitor has set on the page Compose, and the recipe it means; no Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from ..processors.prompts.phrases import things
from ..recipe import Recipe

__all__ = ["ComposeDraft", "Part"]

Part: TypeAlias = tuple[tuple[float, float, float, float], str]
"""A box (left, top, right, bottom as fractions) and its prompt."""


@dataclass(frozen=True)
class ComposeDraft:
    """One picture of several things.

    concepts: the things; none = those that are found in the prompt.
    apart, kept, excited: A-STAR's segregation and retention, Attend-and-Excite.
    bound, phrases: attributes on their nouns; noun phrases read by themselves.
    strength: how far the latents are moved.
    parts:    boxes with prompts of their own.    base: weight of the prompt within them.
    """

    prompt: str = "a red cat and a dog on grass"
    concepts: tuple[str, ...] = ()
    apart: bool = True
    kept: bool = True
    excited: bool = False
    bound: bool = False
    phrases: bool = False
    strength: float = 20.0
    parts: tuple[Part, ...] = ()
    base: float = 0.2
    model: str = "emoji-sd"
    negative: str = ""
    seed: int = 1
    steps: int = 20
    guidance: float = 5.0

    @property
    def found(self) -> tuple[str, ...]:
        """The things that count."""
        return self.concepts or things(self.prompt)

    def recipe(self) -> Recipe:
        """ValueError, in one sentence, for what is missing or cannot be."""
        controls: list[dict[str, Any]] = []
        move = {"concepts": self.found, "step_size": self.strength}
        if (self.kept or self.excited) and not self.found:
            raise ValueError("concepts: the prompt has no things that were found; choose words")
        if self.apart and len(self.found) < 2:
            raise ValueError(
                f"concepts: {len(self.found)} came; to keep things apart, choose two or more"
            )
        controls += [{"control": "segregate", **move}] if self.apart else []
        controls += [{"control": "retain", **move}] if self.kept else []
        controls += [{"control": "excite", **move}] if self.excited else []
        if self.bound:
            controls.append({"control": "bind_attributes", "step_size": self.strength})
        controls += [{"control": "structure_phrases"}] if self.phrases else []
        if self.parts:
            regions = [{"where": box, "prompt": text} for box, text in self.parts]
            controls.append({"control": "region_prompts", "regions": regions, "base": self.base})
        if not controls:
            raise ValueError("controls: none is chosen; switch one on, or give a part its prompt")
        return Recipe.model_validate(
            {
                "model": self.model,
                "prompts": (self.prompt,),
                "negative": self.negative,
                "seed": self.seed,
                "steps": self.steps,
                "guidance": self.guidance,
                "controls": tuple(controls),
            }
        )
