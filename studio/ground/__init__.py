"""Grounding for people: what is asked, the files that come of it, and jobs of the app."""

from .files import GroundFiles, facts_of, save_grounding
from .job import GROUND, GroundJob, is_ground
from .settings import GroundSettings

__all__ = [
    "GROUND",
    "GroundFiles",
    "GroundJob",
    "GroundSettings",
    "facts_of",
    "is_ground",
    "save_grounding",
]
