"""Stock diffusers pipelines: loaded from local folders, or with a method mixed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .load import load

if TYPE_CHECKING:
    from .prompt_to_prompt import (
        PromptToPromptMixin,
        PromptToPromptOutput,
        StableDiffusionPromptToPromptPipeline,
        StableDiffusionXLPromptToPromptPipeline,
    )

__all__ = [
    "PromptToPromptMixin",
    "PromptToPromptOutput",
    "StableDiffusionPromptToPromptPipeline",
    "StableDiffusionXLPromptToPromptPipeline",
    "load",
]

_HOMES = {
    "prompt_to_prompt": (
        "PromptToPromptMixin",
        "PromptToPromptOutput",
        "StableDiffusionPromptToPromptPipeline",
        "StableDiffusionXLPromptToPromptPipeline",
    ),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: importing the package costs nothing."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
