"""Stock diffusers pipelines: loaded from local folders, or with a method mixed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .load import load

if TYPE_CHECKING:
    from .clear_weights import load_clear
    from .coarse_to_fine import Finer, draw_finer
    from .completion import completed
    from .composition import (
        ComposeMixin,
        ComposeOutput,
        StableDiffusionComposePipeline,
        StableDiffusionXLComposePipeline,
    )
    from .correspondence import correspondences, match_features, recorded_features
    from .flow_editing import flow_edit
    from .grounding import Grounding, ground, ground_many
    from .patches import shared_rows
    from .portrait_memories import Memories
    from .prompt_to_prompt import (
        FluxPromptToPromptPipeline,
        PromptToPromptMixin,
        PromptToPromptOutput,
        QwenImagePromptToPromptPipeline,
        StableDiffusion3PromptToPromptPipeline,
        StableDiffusionPromptToPromptPipeline,
        StableDiffusionXLPromptToPromptPipeline,
    )
    from .story import Story
    from .story_methods import (
        STORY_METHODS,
        OnCanvases,
        WithFeatures,
        dreamstory,
        isolated_and_repositioned,
    )
    from .story_parts import Cast, Scene

__all__ = [
    "STORY_METHODS",
    "Cast",
    "ComposeMixin",
    "ComposeOutput",
    "Finer",
    "FluxPromptToPromptPipeline",
    "Grounding",
    "Memories",
    "OnCanvases",
    "PromptToPromptMixin",
    "PromptToPromptOutput",
    "QwenImagePromptToPromptPipeline",
    "Scene",
    "StableDiffusion3PromptToPromptPipeline",
    "StableDiffusionComposePipeline",
    "StableDiffusionPromptToPromptPipeline",
    "StableDiffusionXLComposePipeline",
    "StableDiffusionXLPromptToPromptPipeline",
    "Story",
    "WithFeatures",
    "completed",
    "correspondences",
    "draw_finer",
    "dreamstory",
    "flow_edit",
    "ground",
    "ground_many",
    "isolated_and_repositioned",
    "load",
    "load_clear",
    "match_features",
    "recorded_features",
    "shared_rows",
]

_HOMES = {
    "clear_weights": ("load_clear",),
    "coarse_to_fine": ("Finer", "draw_finer"),
    "completion": ("completed",),
    "composition": (
        "ComposeMixin",
        "ComposeOutput",
        "StableDiffusionComposePipeline",
        "StableDiffusionXLComposePipeline",
    ),
    "correspondence": ("correspondences", "match_features", "recorded_features"),
    "flow_editing": ("flow_edit",),
    "grounding": ("Grounding", "ground", "ground_many"),
    "patches": ("shared_rows",),
    "portrait_memories": ("Memories",),
    "prompt_to_prompt": (
        "FluxPromptToPromptPipeline",
        "PromptToPromptMixin",
        "PromptToPromptOutput",
        "QwenImagePromptToPromptPipeline",
        "StableDiffusion3PromptToPromptPipeline",
        "StableDiffusionPromptToPromptPipeline",
        "StableDiffusionXLPromptToPromptPipeline",
    ),
    "story": ("Story",),
    "story_methods": (
        "STORY_METHODS",
        "OnCanvases",
        "WithFeatures",
        "dreamstory",
        "isolated_and_repositioned",
    ),
    "story_parts": ("Cast", "Scene"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: importing the package costs nothing."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
