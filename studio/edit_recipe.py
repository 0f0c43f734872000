"""The recipe of an edit from what a person says: two prompts, a mode, weights, words to blend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .control_specs import (
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    expand,
)
from .models import describe
from .pipelines.edit_defaults import blend_threshold, text_held
from .processors.prompts import find_spans, says
from .processors.prompts.units import blank_words
from .recipe import Recipe
from .spec import During

__all__ = ["MODES", "edit_recipe"]

MODES = ("auto", "swap", "refine", "reweight")


def edit_recipe(
    prompt: str,
    to: Sequence[str] = (),
    *,
    mode: str = "auto",
    weights: Mapping[str, float] | None = None,
    blend: Sequence[str] = (),
    cross_replace: float | During | None = None,
    self_replace: float | During = 0.4,
    words: Sequence[str] = (),
    further: Sequence[Any] = (),
    folders: tuple[Path, ...] = (),
    **base: Any,
) -> Recipe:
    """A recipe of Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626) for one or more edits.

    prompt:  of the source.    to: of each edit; none = the source's own, which needs weights.
    mode:    "swap" exchanges words for as many others, "refine" adds words or takes them away,
             "reweight" is refine with weights; "auto" swaps where every edit has as many words as
             the source, and refines where not.
    weights: of words of the edits.
    blend:   words outside whose places the source stays, of any of the prompts; the threshold is
             that of `edit_defaults` for the recipe's model.
    cross_replace, self_replace: the part of the denoising in which the edit looks at the text, and
             lays things out, as the source does: its end, or (start, end). None = what
             `edit_defaults` has for the model: the paper's for a UNet and a model not found.
    words:   whose maps are recorded.
    further: more controls, as a recipe writes them; they act after these and before recording.
    folders: where models are looked for beside the embedded ones, for these defaults.
    base:    other fields of the recipe: model, seed, steps, …
    """
    weights = dict(weights or {})
    if mode not in MODES:
        raise ValueError(f"mode: came {mode!r}; expected one of {', '.join(MODES)}")
    if not to and not weights:
        raise ValueError("to: came no edited prompt; expected one, or weights for the source's own")
    if mode == "reweight" and not weights:
        raise ValueError("weights: came none; mode 'reweight' expects them, such as red=1.5")
    prompts = (prompt, *to) if to else (prompt, prompt)
    counts = [len(blank_words(text)) for text in prompts]
    same = len(set(counts)) == 1
    if mode == "swap" and not same:
        raise ValueError(
            f"mode: 'swap' needs as many words in each prompt, came {counts}; 'refine' takes words "
            "that are added or taken away"
        )
    refine = mode in ("refine", "reweight") or not same or not to
    joint = _joint(base.get("model", Recipe.model_fields["model"].default), folders)
    adds = refine and mode != "reweight" and bool(to)
    if cross_replace is None:
        cross_replace = text_held(joint=joint, adds=adds, weighed=bool(weights))
    during = _during(cross_replace, "cross_replace")
    read = RefineWords if refine else ReplaceWords
    controls: list[Any] = [
        read(during=during),
        KeepLayout(during=_during(self_replace, "self_replace")),
    ]
    if weights:
        controls.append(ReweightWords(weights=weights, during=during))
    if blend:
        cut = blend_threshold(joint=joint, adds=adds)
        controls.append(LocalBlend(words=_words_of(prompts, blend), threshold=cut))
    controls += expand(tuple(further))
    if words:
        controls.append(RecordMaps(words=tuple(dict.fromkeys(words))))
    for word in weights:
        _require(prompts[1:], word)
    for word in words:
        _require(prompts, word)
    return Recipe(prompts=prompts, controls=tuple(controls), **base)


@lru_cache(maxsize=32)
def _joint(model: str, folders: tuple[Path, ...]) -> bool:
    """Whether it reads text and picture together; a model that is not found does not."""
    try:
        return describe(model, folders).joint
    except (OSError, ValueError):
        return False


def _during(value: float | During, argument: str) -> During:
    start, end = (0.0, value) if isinstance(value, int | float) else value
    if not 0 <= start <= end <= 1:
        raise ValueError(f"{argument}: came {value!r}; expected an end in [0, 1] or (start, end)")
    return float(start), float(end)


def _words_of(prompts: Sequence[str], words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """For each prompt those of the words that it has; ValueError for one that none has."""
    for word in words:
        _require(prompts, word)
    return tuple(tuple(word for word in words if says(prompt, word)) for prompt in prompts)


def _require(prompts: Sequence[str], word: str) -> None:
    if not any(says(prompt, word) for prompt in prompts):
        find_spans(prompts[-1], word)  # raises, and lists the words there are
