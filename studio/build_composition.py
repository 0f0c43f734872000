"""From the words of a recipe to the controls that compose several subjects."""

from __future__ import annotations

from typing import TypedDict

import torch

from . import compose_specs as specs
from .processors import (
    BindAttributes,
    BoxLayout,
    Control,
    Excite,
    Interval,
    RegionPrompts,
    Retain,
    Segregate,
    StructurePhrases,
)
from .processors.controls.regions import Region
from .prompt_words import present, things_of
from .recipe import Recipe
from .spec import Spec

__all__ = ["composition"]


class _Move(TypedDict):
    during: Interval
    step_size: float
    relative: bool
    weight: float


def composition(spec: Spec, recipe: Recipe, prompt: int | None) -> Control | None:
    """The control of one prompt, or of an edit; None where the prompt has nothing for it."""
    match spec:
        case specs.Segregate():
            words = things_of(spec.concepts, recipe, prompt, spec.control, 2)
            touching = tuple(pair for pair in spec.touching if set(pair) <= set(words))
            made = Segregate(words, spec.overlap, touching, renorm=spec.renorm, **_move(spec))
            return made if words else None
        case specs.Retain():
            words = things_of(spec.concepts, recipe, prompt, spec.control, 1)
            unknown = set(spec.masks) - set(spec.concepts or words)
            if unknown and prompt is None:
                raise ValueError(f"masks: {min(unknown)!r} is not among the concepts")
            retain = Retain(
                words,
                spec.overlap,
                {word: _region(spec.masks[word]) for word in words if word in spec.masks},
                spec.threshold,
                spec.keep,
                spec.settled,
                renorm=spec.renorm,
                **_move(spec),
            )
            return retain if words else None
        case specs.Excite():
            words = things_of(spec.concepts, recipe, prompt, spec.control, 1)
            excite = Excite(words, spec.thresholds, spec.most, **_move(spec))
            return excite if words else None
        case specs.BindAttributes():
            nouns = present(spec.pairs, recipe, prompt, range(len(recipe.prompts)))
            pairs = {noun: spec.pairs[noun] for noun in nouns}
            bind = BindAttributes(pairs, spec.entities, **_move(spec))
            return bind if pairs or not spec.pairs else None
        case specs.BoxLayout():
            words = present(spec.boxes, recipe, prompt, range(len(recipe.prompts)))
            boxes = {word: _region(spec.boxes[word]) for word in words}
            return BoxLayout(boxes, spec.target, spec.most, **_move(spec)) if words else None
        case specs.RegionPrompts():
            places = ((_where(region, recipe, prompt), region.prompt) for region in spec.regions)
            kept = tuple((where, text) for where, text in places if where is not None)
            made_of = RegionPrompts(kept, spec.base, Interval(*spec.during), spec.looks)
            return made_of if kept else None
        case specs.StructurePhrases():
            phrases = present(spec.phrases, recipe, prompt, range(len(recipe.prompts)))
            structure = StructurePhrases(phrases, spec.parser, spec.mode, Interval(*spec.during))
            return structure if phrases or not spec.phrases else None
    raise AssertionError(f"no control is built from {type(spec).__name__}")


def _move(
    spec: specs.Segregate | specs.Retain | specs.Excite | specs.BindAttributes | specs.BoxLayout,
) -> _Move:
    return {
        "during": Interval(*spec.during),
        "step_size": spec.step_size,
        "relative": spec.relative,
        "weight": spec.weight,
    }


def _region(place: specs.Place) -> Region:
    if isinstance(place, specs.Painted):
        return torch.tensor([[float(cell) for cell in row] for row in place.rows])
    return place


def _where(region: specs.Region, recipe: Recipe, prompt: int | None) -> Region | str | None:
    """None for a word that this prompt does not have."""
    if not isinstance(region.where, str):
        return _region(region.where)
    found = present((region.where,), recipe, prompt, range(len(recipe.prompts)))
    return found[0] if found else None
