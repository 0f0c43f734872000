"""From the words of a recipe to controls: the only place where a string becomes one."""

from __future__ import annotations

from collections.abc import Mapping

from . import control_specs as specs
from .build_composition import composition
from .processors import (
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    LocalWindow,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    Rows,
    SchedulePrompt,
)
from .prompt_words import present
from .recipe import Recipe
from .spec import Spec

__all__ = ["build"]


def build(recipe: Recipe, prompt: int | None = None) -> tuple[Control, ...]:
    """The controls of an edit, or of one prompt of a run without a source, in the recipe's order.

    prompt: its number, in a run where each prompt is a call of its own; a control then gets only
            the words which that prompt has.

    ValueError for a word that none of the prompts has, or that a control cannot be given.
    """
    if recipe.is_edit != (prompt is None):
        raise ValueError(
            f"prompt: came {prompt}; expected None for an edit, else the number of a prompt"
        )
    made = (_control(spec, recipe, prompt) for spec in recipe.controls)
    return tuple(control for control in made if control is not None)


def _control(spec: Spec, recipe: Recipe, prompt: int | None) -> Control | None:
    match spec:
        case specs.ReplaceWords():
            words = {word: Interval(*during) for word, during in spec.words.items()}
            return ReplaceWords(Interval(*spec.during), words, spec.align)
        case specs.RefineWords():
            words = {word: Interval(*during) for word, during in spec.words.items()}
            return RefineWords(Interval(*spec.during), words, spec.align)
        case specs.KeepLayout():
            return KeepLayout(Interval(*spec.during), spec.max_side)
        case specs.LocalBlend():
            return LocalBlend(
                spec.words,
                spec.subtract,
                spec.threshold,
                spec.subtract_threshold,
                Interval(*spec.during),
            )
        case specs.LocalWindow():
            return LocalWindow(
                spec.radius,
                spec.pooled,
                scale=spec.scale,
                ntk=spec.ntk,
                trained=spec.trained,
                during=Interval(*spec.during),
                blocks=Interval(*spec.blocks),
                late=spec.late,
            )
        case specs.ReweightWords():
            return _reweight(spec, recipe, prompt)
        case specs.RecordMaps():
            kept = present(spec.words, recipe, prompt, range(len(recipe.prompts)))
            made = RecordMaps(kept, spec.edited, spec.every_grid, Interval(*spec.during))
            return made if kept else None
        case specs.SchedulePrompt():
            if prompt is None:
                return SchedulePrompt(spec.later)
            return SchedulePrompt(spec.later[prompt : prompt + 1])
    return composition(spec, recipe, prompt)


def _reweight(
    spec: specs.ReweightWords, recipe: Recipe, prompt: int | None
) -> ReweightWords | None:
    count = len(recipe.prompts)
    if prompt is not None:
        asked = range(count) if spec.prompts is None else spec.prompts
        kept = present(spec.weights, recipe, prompt, asked)
        if prompt not in asked or not kept:
            return None
        weights: Mapping[str, float] = {word: spec.weights[word] for word in kept}
        return ReweightWords(weights, Interval(*spec.during), rows=Rows.COND)
    rows = Rows.COND if spec.prompts is not None and 0 in spec.prompts else Rows.COND_EDIT
    return ReweightWords(spec.weights, Interval(*spec.during), rows=rows, prompts=spec.prompts)
