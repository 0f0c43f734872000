"""Controls, the engine that combines them, and the families that translate a model's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .call import Call, Kind, Rows, Site, Step
    from .control import Control, Prompts
    from .controls import (
        AlignStyle,
        BindAttributes,
        BlendQueries,
        BoxLayout,
        Excite,
        FindPlaces,
        FollowSource,
        InjectFeatures,
        IsolateSubjects,
        KeepLayout,
        LocalBlend,
        LocalWindow,
        Match,
        PlacePortraits,
        ReadSubjectPrompts,
        RecordMaps,
        RefineWords,
        RegionPrompts,
        ReplaceWords,
        RepositionSubjects,
        Retain,
        ReweightWords,
        SchedulePrompt,
        Segregate,
        ShareSubjects,
        ShareTokens,
        StructurePhrases,
        Subject,
    )
    from .interval import Interval
    from .mask import Dense, KeyBias, Labels, Mask, Window
    from .mix import Mix, Term
    from .run import Cancelled, Run

__all__ = [
    "AlignStyle",
    "BindAttributes",
    "BlendQueries",
    "BoxLayout",
    "Call",
    "Cancelled",
    "Control",
    "Dense",
    "Excite",
    "FindPlaces",
    "FollowSource",
    "InjectFeatures",
    "Interval",
    "IsolateSubjects",
    "KeepLayout",
    "KeyBias",
    "Kind",
    "Labels",
    "LocalBlend",
    "LocalWindow",
    "Mask",
    "Match",
    "Mix",
    "PlacePortraits",
    "Prompts",
    "ReadSubjectPrompts",
    "RecordMaps",
    "RefineWords",
    "RegionPrompts",
    "ReplaceWords",
    "RepositionSubjects",
    "Retain",
    "ReweightWords",
    "Rows",
    "Run",
    "SchedulePrompt",
    "Segregate",
    "ShareSubjects",
    "ShareTokens",
    "Site",
    "Step",
    "StructurePhrases",
    "Subject",
    "Term",
    "Window",
]

_HOMES = {
    "call": ("Call", "Kind", "Rows", "Site", "Step"),
    "control": ("Control", "Prompts"),
    "controls": (
        "AlignStyle",
        "BindAttributes",
        "BlendQueries",
        "BoxLayout",
        "Excite",
        "FindPlaces",
        "FollowSource",
        "InjectFeatures",
        "IsolateSubjects",
        "KeepLayout",
        "LocalBlend",
        "LocalWindow",
        "Match",
        "PlacePortraits",
        "ReadSubjectPrompts",
        "RecordMaps",
        "RefineWords",
        "RegionPrompts",
        "ReplaceWords",
        "RepositionSubjects",
        "Retain",
        "ReweightWords",
        "SchedulePrompt",
        "Segregate",
        "ShareSubjects",
        "ShareTokens",
        "StructurePhrases",
        "Subject",
    ),
    "interval": ("Interval",),
    "mask": ("Dense", "KeyBias", "Labels", "Mask", "Window"),
    "mix": ("Mix", "Term"),
    "run": ("Cancelled", "Run"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: importing the package costs nothing."""
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
