"""The story that each scene's picture carries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from ..gallery import versions
from ..picture_file import open_picture
from ..stored import read_json
from .recipe import StoryRecipe

__all__ = ["KEY", "story_in", "text_of"]

KEY = "attention_studio_story"
"""The text of a PNG that holds the story's recipe and the number of the scene, as JSON."""


def text_of(recipe: StoryRecipe, scene: int) -> PngInfo:
    """For the picture of a scene; the first is number 0."""
    record = {"story": recipe.model_dump(mode="json"), "scene": scene, "versions": versions()}
    info = PngInfo()
    info.add_itxt(KEY, json.dumps(record, ensure_ascii=False))
    return info


def story_in(picture: Path) -> dict[str, Any]:
    """The recipe, not yet checked; ValueError for a picture that is refused or carries none."""
    text = open_picture(picture).texts.get(KEY)
    record = None if text is None else read_json(text, "picture: its story")
    story = record.get("story") if isinstance(record, dict) else None
    if not isinstance(story, dict):
        raise ValueError(f"picture: {str(picture)!r} carries no story; expected a scene of one")
    return dict(story)
