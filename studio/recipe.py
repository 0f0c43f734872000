"""A recipe says everything a run needs to make the same pictures again."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from .compose_specs import RegionPrompts
from .control_specs import (
    ControlSpec,
    KeepLayout,
    LocalBlend,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    SchedulePrompt,
    expand,
)
from .finer_spec import FinerSpec, finer_sizes
from .spec import Spec

__all__ = ["ALGORITHM_VERSION", "Recipe"]

ALGORITHM_VERSION = 1
"""Raised when the same recipe would no longer make the same pictures."""

MAX_TEXT = 32_000  # characters of all prompts: what a picture carries must stay readable

Side = Annotated[int, Field(ge=32, le=2048)]
Prompt = Annotated[str, StringConstraints(max_length=20_000)]


class Recipe(Spec):
    """What to make: frozen, and a field it does not know is an error.

    model:    "emoji-sd", "emoji-flux", or the path or name of a local model.
    prompts:  one picture each; an empty prompt is allowed. In an edit the first is the source.
    seed:     of the first picture; picture i has seed + i, but all pictures of an edit have the
              same. Noise is drawn on the CPU.
    guidance: classifier-free guidance scale; 1 switches it off.
    size:     (height, width) in pixels; None = the size the model was trained at.
    controls: in the order in which they act; names such as "keep_layout" and presets such as "p2p"
              are written out.
    finer:    steps up: each picture is enlarged and drawn over; left out of what is written down
              when there are none.
    """

    algorithm_version: int = ALGORITHM_VERSION
    model: Annotated[str, StringConstraints(max_length=4096)] = "emoji-sd"
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1, max_length=256)]
    negative: Prompt = ""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    steps: Annotated[int, Field(ge=1, le=1000)] = 30
    guidance: Annotated[float, Field(ge=0, le=100)] = 5.0
    size: tuple[Side, Side] | None = None
    controls: Annotated[tuple[ControlSpec, ...], Field(max_length=32)] = ()
    finer: Annotated[tuple[FinerSpec, ...], Field(max_length=4)] = ()

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = write(self)
        if not self.finer:
            del found["finer"]
        return found

    @field_validator("controls", mode="before")
    @classmethod
    def _expanded(cls, controls: Any) -> Any:
        return expand(controls)

    @field_validator("algorithm_version")
    @classmethod
    def _known(cls, version: int) -> int:
        if not 1 <= version <= ALGORITHM_VERSION:
            raise ValueError(f"came {version}; this installation knows up to {ALGORITHM_VERSION}")
        return version

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        count = len(self.prompts)
        if sum(map(len, self._texts())) > MAX_TEXT:
            raise ValueError(f"prompts: more than {MAX_TEXT} characters in all; expected fewer")
        for spec in self.controls:
            if spec.control in _NEED_A_SOURCE and count < 2:
                raise ValueError(
                    f"prompts: {spec.control} needs a source and at least one edit, came {count} "
                    "prompt"
                )
            if isinstance(spec, ReweightWords) and max(spec.prompts or (0,)) >= count:
                raise ValueError(
                    f"controls: reweight_words is for prompt {max(spec.prompts or (0,))}; there "
                    f"are {count}, the first being 0"
                )
            if isinstance(spec, SchedulePrompt) and len(spec.later) > count:
                raise ValueError(
                    f"controls: schedule_prompt has stages for {len(spec.later)} prompts; there "
                    f"are {count}"
                )
            if isinstance(spec, LocalBlend) and {len(spec.words), len(spec.subtract)} - {0, count}:
                raise ValueError(
                    f"controls: local_blend has words for {len(spec.words)} prompts; expected one "
                    f"entry for each of the {count} prompts"
                )
        if self.finer and self.is_edit:
            raise ValueError("finer: came with an edit; expected prompts without a source")
        finer_sizes(self.size or (0, 0), self.finer)  # which knows the largest
        for step in self.finer:
            if int(self.steps * step.strength) < 1:
                raise ValueError(
                    f"finer: strength {step.strength:g} of {self.steps} steps leaves none to draw "
                    "over with; expected more"
                )
        return self

    def _texts(self) -> Iterator[str]:
        yield from (*self.prompts, self.negative)
        for spec in self.controls:
            if isinstance(spec, SchedulePrompt):
                yield from (text for stages in spec.later for _, text in stages)
            if isinstance(spec, RegionPrompts):
                yield from (region.prompt for region in spec.regions)

    @property
    def is_edit(self) -> bool:
        """Whether a control reads the source: then all prompts start from the same noise."""
        return any(spec.control in _NEED_A_SOURCE for spec in self.controls)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ when anything in the recipe does."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:8]

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


_NEED_A_SOURCE = frozenset(
    spec.model_fields["control"].default
    for spec in (ReplaceWords, RefineWords, KeepLayout, LocalBlend)
)
