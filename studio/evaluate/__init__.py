"""Suites that measure models and methods on emoji world with the judge."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import BaseReport, evaluate_base
    from .compose import evaluate_compose
    from .compose_methods import METHODS, ComposeSettings
    from .compose_report import ComposeReport
    from .edit import Settings, evaluate_edit
    from .edit_report import EditReport
    from .ground import evaluate_ground
    from .ground_report import GroundReport
    from .labelling import Agreement, agreement, make_sheets, read_nouns
    from .regions import evaluate_regions
    from .regions_methods import REGION_METHODS, RegionSettings
    from .regions_report import RegionReport
    from .resources import Resources, measure_resources
    from .story import evaluate_story
    from .story_report import StoryReport

__all__ = [
    "METHODS",
    "REGION_METHODS",
    "Agreement",
    "BaseReport",
    "ComposeReport",
    "ComposeSettings",
    "EditReport",
    "GroundReport",
    "RegionReport",
    "RegionSettings",
    "Resources",
    "Settings",
    "StoryReport",
    "agreement",
    "evaluate_base",
    "evaluate_compose",
    "evaluate_edit",
    "evaluate_ground",
    "evaluate_regions",
    "evaluate_story",
    "make_sheets",
    "measure_resources",
    "read_nouns",
]

_HOMES = {
    "METHODS": "compose_methods",
    "REGION_METHODS": "regions_methods",
    "Agreement": "labelling",
    "BaseReport": "base",
    "ComposeReport": "compose_report",
    "ComposeSettings": "compose_methods",
    "EditReport": "edit_report",
    "GroundReport": "ground_report",
    "RegionReport": "regions_report",
    "RegionSettings": "regions_methods",
    "Resources": "resources",
    "Settings": "edit",
    "StoryReport": "story_report",
    "agreement": "labelling",
    "evaluate_base": "base",
    "evaluate_compose": "compose",
    "evaluate_edit": "edit",
    "evaluate_ground": "ground",
    "evaluate_regions": "regions",
    "evaluate_story": "story",
    "make_sheets": "labelling",
    "measure_resources": "resources",
    "read_nouns": "labelling",
}


def __getattr__(name: str) -> object:
    """Names are imported on first use, so that asking for one costs nothing for the others."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
