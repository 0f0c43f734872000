"""A story as a job of the app: what the journal says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from .recipe import StoryRecipe

__all__ = ["STORY", "StoryJob", "is_story"]

STORY: Mapping[str, Any] = {"story": True}
"""Options of jobs; their recipe is `StoryJob.recipe`."""


def is_story(options: str) -> bool:
    """Whether a job with these options, JSON, is a story."""
    return "story" in json.loads(options)


@dataclass(frozen=True)
class StoryJob:
    """A story that somebody waits for."""

    story: StoryRecipe

    @property
    def recipe(self) -> dict[str, Any]:
        """What the journal keeps."""
        return self.story.model_dump(mode="json")

    @classmethod
    def read(cls, recipe: str) -> StoryJob:
        """Of a job's recipe, JSON; ValueError for one of another kind of job."""
        try:
            return cls(StoryRecipe.model_validate_json(recipe))
        except ValidationError as error:
            raise ValueError(f"recipe: it is no story ({error.errors()[0]['msg']})") from error
