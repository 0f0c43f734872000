"""Who is in a story, and what a scene of it comes out as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from ..processors.controls.regions import Region

__all__ = ["Cast", "Scene"]


@dataclass(frozen=True)
class Cast:
    """One of the story. word: what it is called in scenes, and looked for.

    portrait: the prompt of its portrait; has the word in it unless a segmenter looks for it.
    seed:     of its portrait; None = the story's.
    """

    word: str
    portrait: str
    seed: int | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of the story.

    prompt:    as it was drawn, with words of portraits where it was completed.
    rehearsal: the same scene with stock attention, where places come from; None = all were given.
    places:    by word; zeros = it was not there.
    seed:      of the scene's noise, after redrawing.
    notes, warnings: what the controls did, and what did not go as asked.
    """

    image: Image.Image
    prompt: str
    rehearsal: Image.Image | None
    places: Mapping[str, Region]
    seed: int
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
