"""What every part of a recipe is made of: frozen, and a field it does not know is an error."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic import model_validator as validate_model

__all__ = ["During", "Fraction", "Spec", "Word", "Words"]


def _in_order(during: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= during[0] <= during[1] <= 1.0:
        raise ValueError(f"expected 0 <= start <= end <= 1, came {list(during)}")
    return during


During: TypeAlias = Annotated[tuple[float, float], AfterValidator(_in_order)]
"""[start, end) as fractions of the denoising."""

Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Words: TypeAlias = Annotated[tuple[Word, ...], Field(max_length=64)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """What all of them share: frozen, and a field it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @validate_model(mode="before")
    @classmethod
    def _name_the_fields(cls, given: Any) -> Any:
        unknown = [k for k in given if k not in cls.model_fields] if isinstance(given, dict) else []
        if unknown:
            known = ", ".join(name for name in cls.model_fields if name != "control")
            raise ValueError(f"there is no field {str(unknown[0])[:80]!r}; fields: {known}")
        return given
