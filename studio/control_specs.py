"""How a recipe writes controls down: one small frozen model each, and presets that name sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints

from .compose_specs import (
    BindAttributes,
    BoxLayout,
    Excite,
    RegionPrompts,
    Retain,
    Segregate,
    StructurePhrases,
)
from .spec import During, Fraction, Spec, Word, Words

__all__ = [
    "CONTROLS",
    "PRESETS",
    "ControlSpec",
    "KeepLayout",
    "LocalBlend",
    "LocalWindow",
    "RecordMaps",
    "RefineWords",
    "ReplaceWords",
    "ReweightWords",
    "SchedulePrompt",
    "expand",
]

OfPrompt: TypeAlias = Word | Words
"""A word, or several, of one prompt."""
Align: TypeAlias = Literal["exact", "official"]


class ReplaceWords(Spec):
    """Word swap; see `processors.ReplaceWords`. words: intervals of single target words."""

    control: Literal["replace_words"] = "replace_words"
    during: During = (0.0, 0.8)
    words: dict[Word, During] = Field(default_factory=dict, max_length=64)
    align: Align = "exact"


class RefineWords(Spec):
    """Refinement; see `processors.RefineWords`. words: intervals of single target words."""

    control: Literal["refine_words"] = "refine_words"
    during: During = (0.0, 0.8)
    words: dict[Word, During] = Field(default_factory=dict, max_length=64)
    align: Align = "exact"


class ReweightWords(Spec):
    """Re-weighting; see `processors.ReweightWords`.

    weights: of words; each must be in one of the prompts it is for.
    prompts: numbers of the prompts it is for, the first being 0; None = the edits, and in a run
             without a source every prompt.
    """

    control: Literal["reweight_words"] = "reweight_words"
    weights: Annotated[
        dict[Word, Annotated[float, Field(ge=-100, le=100)]], Field(min_length=1, max_length=64)
    ]
    during: During = (0.0, 1.0)
    prompts: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None


class KeepLayout(Spec):
    """The source's layout; see `processors.KeepLayout`."""

    control: Literal["keep_layout"] = "keep_layout"
    during: During = (0.0, 0.4)
    max_side: Annotated[int, Field(ge=1, le=4096)] = 32


class LocalBlend(Spec):
    """The source outside the words' places; see `processors.LocalBlend`.

    words, subtract: one entry for each prompt.
    """

    control: Literal["local_blend"] = "local_blend"
    words: Annotated[tuple[OfPrompt, ...], Field(min_length=2, max_length=256)]
    subtract: Annotated[tuple[OfPrompt, ...], Field(max_length=256)] = ()
    threshold: Fraction = 0.3
    subtract_threshold: Fraction = 0.3
    during: During = (0.2, 1.0)


class LocalWindow(Spec):
    """Windows of a transformer's attention; see `processors.LocalWindow`. For all prompts.

    radius: in tokens.    late: that of the second half of the steps.
    pooled: side of the cells whose means every image token sees as well.
    """

    control: Literal["local_window"] = "local_window"
    radius: Annotated[float, Field(gt=0, le=4096)] = 16.0
    pooled: Annotated[int, Field(ge=2, le=256)] | None = None
    scale: Literal["plain", "proportional"] = "plain"
    ntk: Annotated[float, Field(gt=0, le=1000)] = 1.0
    trained: Annotated[int, Field(ge=1, le=4096)] | None = None
    during: During = (0.0, 1.0)
    blocks: During = (0.0, 1.0)
    late: Annotated[float, Field(gt=0, le=4096)] | None = None


class RecordMaps(Spec):
    """Word maps; see `processors.RecordMaps`. It only reads."""

    control: Literal["record_maps"] = "record_maps"
    words: Annotated[Words, Field(min_length=1)]
    edited: bool = True
    every_grid: bool = False
    during: During = (0.0, 1.0)


Stage: TypeAlias = tuple[Fraction, Annotated[str, StringConstraints(max_length=20_000)]]


class SchedulePrompt(Spec):
    """Other words from a step on; see `processors.SchedulePrompt`.

    later: for each prompt its later stages, (start, text); prompts at the end may be left out.
    """

    control: Literal["schedule_prompt"] = "schedule_prompt"
    later: Annotated[
        tuple[Annotated[tuple[Stage, ...], Field(max_length=64)], ...],
        Field(min_length=1, max_length=256),
    ]


ControlSpec: TypeAlias = Annotated[
    ReplaceWords
    | RefineWords
    | ReweightWords
    | KeepLayout
    | LocalBlend
    | LocalWindow
    | RecordMaps
    | SchedulePrompt
    | Segregate
    | Retain
    | Excite
    | BindAttributes
    | BoxLayout
    | RegionPrompts
    | StructurePhrases,
    Field(discriminator="control"),
]

CONTROLS: tuple[str, ...] = (
    "replace_words",
    "refine_words",
    "reweight_words",
    "keep_layout",
    "local_blend",
    "local_window",
    "record_maps",
    "schedule_prompt",
    "segregate",
    "retain",
    "excite",
    "bind_attributes",
    "box_layout",
    "region_prompts",
    "structure_phrases",
)
PRESETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("p2p", ("replace_words", "keep_layout")),
    ("p2p-refine", ("refine_words", "keep_layout")),
    ("a-star", ("segregate", "retain")),
)
"""Names of sets: Prompt-to-Prompt's word swap and its refinement, with the paper's intervals; both
losses of A-STAR, for the things that are found in each prompt."""


def expand(controls: Any) -> Any:
    """Names become mappings, presets the controls they stand for; all else stays as it came.

    ValueError for a name that is neither, with those that exist.
    """
    if not isinstance(controls, Sequence) or isinstance(controls, str | bytes):
        return controls  # pydantic says what is wrong with it
    sets, found = dict(PRESETS), []
    for given in controls:
        name = given if isinstance(given, str) else None
        if isinstance(given, dict) and isinstance(given.get("control"), str):
            name = given["control"]
        if name is not None and name not in (*CONTROLS, *sets):
            raise ValueError(
                f"there is no control {name[:80]!r}; controls: {', '.join(CONTROLS)}; "
                f"presets: {', '.join(sets)}"
            )
        if name in sets:
            if isinstance(given, dict) and len(given) > 1:
                raise ValueError(f"the preset {name!r} takes no fields; name its controls instead")
            found += [{"control": part} for part in sets[name]]
        elif isinstance(given, str):
            found.append({"control": given})
        else:
            found.append(given)
    return tuple(found)
