"""What a visitor has set on the page Compose, and the recipe it means; no Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeGuard

from ..compose_specs import BindAttributes, BoxLayout, Excite, RegionPrompts, Retain, Segregate
from ..processors.prompts.phrases import things
from ..recipe import Recipe
from .draft import MOST_CHARACTERS, fits, run_of, without_maps

__all__ = ["MOST_PARTS", "MOST_STRENGTH", "ComposeDraft", "Part"]

MOST_PARTS, MOST_STRENGTH = 4, 4.0  # what the page's fields take

Part: TypeAlias = tuple[tuple[float, float, float, float], str]
"""A box (left, top, right, bottom as fractions) and its prompt."""
_Weighed = BindAttributes | BoxLayout


@dataclass(frozen=True)
class ComposeDraft:
    """One picture of several things.

    concepts: the things; none = those that are found in the prompt.
    apart, kept, excited: A-STAR's segregation and retention, Attend-and-Excite.
    bound, phrases: attributes on their nouns; noun phrases read by themselves.
    strength: factor of how far each of them moves the latents; 1 = as far as it does by itself.
    parts:    boxes with prompts of their own.    base: weight of the prompt within them.
    placed:   whether things that a part and the prompt both name are moved into the part's box.
    """

    prompt: str = "a red cat and a dog on grass"
    concepts: tuple[str, ...] = ()
    apart: bool = True
    kept: bool = True
    excited: bool = False
    bound: bool = False
    phrases: bool = False
    strength: float = 1.0
    parts: tuple[Part, ...] = ()
    placed: bool = True
    base: float = 0.2
    model: str = "emoji-sd"
    negative: str = ""
    seed: int = 1
    steps: int = 20
    guidance: float = 5.0
    size: tuple[int, int] | None = None

    @property
    def found(self) -> tuple[str, ...]:
        """The things that count."""
        return self.concepts or things(self.prompt)

    @property
    def boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """Things of the prompt that a part names, and the box of the first that does."""
        known = {*things(self.prompt), *self.concepts}
        named = [(noun, box) for box, text in self.parts for noun in things(text) if noun in known]
        return dict(reversed(named))

    def recipe(self) -> Recipe:
        """ValueError, in one sentence, for what is missing or cannot be."""
        controls: list[dict[str, Any]] = []
        move = {"concepts": self.found, "weight": self.strength}
        if (self.kept or self.excited) and not self.found:
            raise ValueError(
                "things: none were found in the prompt; choose the words that name them"
            )
        if self.apart and len(self.found) < 2:
            raise ValueError(
                f"things: {len(self.found)} came; to keep things apart, choose two or more"
            )
        controls += [{"control": "segregate", **move}] if self.apart else []
        controls += [{"control": "retain", **move}] if self.kept else []
        controls += [{"control": "excite", **move}] if self.excited else []
        if self.bound:
            controls.append({"control": "bind_attributes", "weight": self.strength})
        controls += [{"control": "structure_phrases"}] if self.phrases else []
        if self.parts:
            regions = [{"where": box, "prompt": text} for box, text in self.parts]
            controls.append({"control": "region_prompts", "regions": regions, "base": self.base})
        if self.placed and self.boxes:
            boxes = {"boxes": self.boxes, "weight": self.strength}
            controls.append({"control": "box_layout", **boxes})
        if not controls:
            raise ValueError("controls: none is chosen; switch one on, or give a part its prompt")
        return Recipe.model_validate(
            {**run_of(self), "prompts": (self.prompt,), "controls": tuple(controls)}
        )

    @classmethod
    def of(cls, recipe: Recipe) -> ComposeDraft | None:
        """The draft that means this recipe, but for recorded maps; None when the page has none."""
        bare = without_maps(recipe)
        specs = {spec.control: spec for spec in bare.controls}
        moves = [s for s in specs.values() if isinstance(s, Segregate | Retain | Excite)]
        bound, regions = specs.get("bind_attributes"), specs.get("region_prompts")
        placed = specs.get("box_layout")
        strengths = [spec.weight for spec in moves]
        strengths += [spec.weight for spec in (bound, placed) if isinstance(spec, _Weighed)]
        parts: list[Part] = []
        if isinstance(regions, RegionPrompts):
            parts = [(r.where, r.prompt) for r in regions.regions if _is_box(r.where)]
        if (
            len(bare.prompts) != 1
            or not fits(bare)
            or len(parts) > MOST_PARTS
            or any(len(text) > MOST_CHARACTERS for _, text in parts)
            or any(strength > MOST_STRENGTH for strength in strengths)
        ):
            return None
        draft = cls(
            prompt=bare.prompts[0],
            concepts=moves[0].concepts if moves else (),
            apart="segregate" in specs,
            kept="retain" in specs,
            excited="excite" in specs,
            bound=bound is not None,
            phrases="structure_phrases" in specs,
            strength=strengths[0] if strengths else cls.strength,
            parts=tuple(parts),
            base=regions.base if isinstance(regions, RegionPrompts) else cls.base,
            **run_of(bare),
        )
        if placed is None and draft.boxes:
            draft = replace(draft, placed=False)
        try:
            return draft if draft.recipe() == bare else None
        except ValueError:
            return None


def _is_box(where: object) -> TypeGuard[tuple[float, float, float, float]]:
    """Whether the page's sliders, which go by whole percents, can show a place."""
    return isinstance(where, tuple) and all(side == round(100 * side) / 100 for side in where)
