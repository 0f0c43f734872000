"""A recipe says everything a run needs to make the same pictures again."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["Recipe"]

Side = Annotated[int, Field(ge=32, le=2048)]
Prompt = Annotated[str, StringConstraints(max_length=20_000)]


class Recipe(BaseModel):
    """What to make: frozen, and a field it does not know is an error.

    model:    "emoji-sd" or the path of a diffusers folder.
    prompts:  one picture each; an empty prompt is allowed.
    seed:     of the first picture; picture i has seed + i. Noise is drawn on the CPU.
    guidance: classifier-free guidance scale; 1 switches it off.
    size:     (height, width) in pixels; None = the size the model was trained at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    algorithm_version: Literal[1] = 1
    model: str = "emoji-sd"
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1)]
    negative: Prompt = ""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    steps: Annotated[int, Field(ge=1, le=1000)] = 30
    guidance: Annotated[float, Field(ge=0, le=100)] = 5.0
    size: tuple[Side, Side] | None = None

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ when anything in the recipe does."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:8]
