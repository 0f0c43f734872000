"""How a recipe writes down the controls that compose several subjects."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints
from pydantic import model_validator as validate_model

from .spec import During, Fraction, Spec, Word, Words

__all__ = [
    "BindAttributes",
    "Box",
    "BoxLayout",
    "Excite",
    "Painted",
    "Place",
    "Region",
    "RegionPrompts",
    "Retain",
    "Segregate",
    "StructurePhrases",
]


def _a_box(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            "expected 0 <= left < right <= 1 and 0 <= top < bottom <= 1, fractions of the picture, "
            f"came {list(box)}"
        )
    return box


def _as_wide(rows: tuple[str, ...]) -> tuple[str, ...]:
    if len({len(row) for row in rows}) > 1 or not any("1" in row for row in rows):
        raise ValueError("expected rows of one length, with a 1 in one of them")
    return rows


Box: TypeAlias = Annotated[tuple[float, float, float, float], AfterValidator(_a_box)]
"""Left, top, right, bottom as fractions of the picture, y downwards."""


class Painted(Spec):
    """A painted mask: rows from top to bottom, each of 0 and 1, in the shape of the picture."""

    rows: Annotated[
        tuple[Annotated[str, StringConstraints(pattern="^[01]{1,128}$")], ...],
        Field(min_length=1, max_length=128),
        AfterValidator(_as_wide),
    ]


Place: TypeAlias = Box | Painted
StepSize: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1000)]


class _Objective(Spec):
    """What moves the latents; see `processors.controls.word_objective`."""

    during: During = (0.0, 1.0)
    step_size: StepSize = 0.05
    relative: bool = True
    weight: Weight = 1.0

    @validate_model(mode="after")
    def _at_most_all(self) -> Self:
        if self.relative and self.step_size > 1:
            raise ValueError(
                f"step_size: came {self.step_size:g}; expected a part of the latents' length, at "
                "most 1 (relative: false takes it as Attend-and-Excite's alpha)"
            )
        return self


class Segregate(_Objective):
    """Concepts apart; see `processors.Segregate`. concepts: none = the things in each prompt."""

    control: Literal["segregate"] = "segregate"
    concepts: Words = ()
    overlap: Literal["paper", "jaccard"] = "paper"
    during: During = (0.0, 0.3)
    touching: Annotated[tuple[tuple[Word, Word], ...], Field(max_length=64)] = ()
    renorm: Literal["none", "linear", "sharp"] = "linear"


class Retain(_Objective):
    """Concepts stay; see `processors.Retain`. concepts: none = the things in each prompt."""

    control: Literal["retain"] = "retain"
    concepts: Words = ()
    overlap: Literal["paper", "jaccard"] = "paper"
    during: During = (0.0, 0.3)
    masks: dict[Word, Place] = Field(default_factory=dict, max_length=64)
    threshold: Annotated[float, Field(gt=0, le=1)] | Literal["otsu"] = 0.5
    keep: Annotated[float, Field(ge=0, lt=1)] = 0.0
    settled: Fraction = 1.0
    renorm: Literal["none", "linear", "sharp"] = "linear"


class Excite(_Objective):
    """No concept neglected; see `processors.Excite`. concepts: none = the things in each prompt."""

    control: Literal["excite"] = "excite"
    concepts: Words = ()
    thresholds: Annotated[tuple[tuple[Fraction, Fraction], ...], Field(max_length=16)] = (
        (0.0, 0.05),
        (0.2, 0.5),
        (0.4, 0.8),
    )
    most: Annotated[int, Field(ge=0, le=100)] = 20
    during: During = (0.0, 0.5)
    step_size: StepSize = 20.0
    relative: bool = False


class BindAttributes(_Objective):
    """Attributes on nouns; see `processors.BindAttributes`. pairs: none = those of each prompt."""

    control: Literal["bind_attributes"] = "bind_attributes"
    pairs: dict[Word, Words] = Field(default_factory=dict, max_length=64)
    entities: bool = False
    during: During = (0.0, 0.5)
    step_size: StepSize = 20.0
    relative: bool = False


class BoxLayout(_Objective):
    """Concepts in boxes; see `processors.BoxLayout`."""

    control: Literal["box_layout"] = "box_layout"
    boxes: Annotated[dict[Word, Place], Field(min_length=1, max_length=64)]
    target: Annotated[float, Field(ge=0, lt=1)] = 0.2
    most: Annotated[int, Field(ge=1, le=100)] = 5
    during: During = (0.0, 0.2)


class Region(Spec):
    """Where a prompt is read: a box, a painted mask, or a word of the picture's prompt."""

    where: Place | Word
    prompt: Annotated[str, StringConstraints(max_length=20_000)]


class RegionPrompts(Spec):
    """Prompts for parts of the picture; see `processors.RegionPrompts`."""

    control: Literal["region_prompts"] = "region_prompts"
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=16)]
    base: Fraction = 0.2
    during: During = (0.0, 1.0)
    looks: Fraction = 0.2


class StructurePhrases(Spec):
    """Phrases read by themselves; see `processors.StructurePhrases`. phrases: none = found."""

    control: Literal["structure_phrases"] = "structure_phrases"
    phrases: Words = ()
    parser: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = "rules"
    mode: Literal["values", "conjunction"] = "values"
    during: During = (0.0, 1.0)
