"""The ways in which `evaluate story` draws scenes: each method on the scene's own words, and more.

Papers' methods get the prompt as it is. "words" is no method but completion alone: the scene says
subjects as their portraits do, and stock attention draws it; "words + M" draws that with method M,
on places found in the picture of "words".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..pipelines.story_methods import STORY_METHODS, Method

__all__ = ["STORY_WAYS", "Way"]


@dataclass(frozen=True)
class Way:
    """complete: as of `Story`."""

    method: Method
    complete: bool = False


_COMPLETED = ("ir-diffusion late", "reposition late")

STORY_WAYS: Mapping[str, Way] = MappingProxyType(
    {
        **{name: Way(method) for name, method in STORY_METHODS.items()},
        "words": Way(STORY_METHODS["base"], complete=True),
        **{f"words + {name}": Way(STORY_METHODS[name], complete=True) for name in _COMPLETED},
    }
)
