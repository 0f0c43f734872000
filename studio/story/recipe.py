"""A story written down: who is in it, how each looks, which scenes are drawn, and how."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints, field_validator, model_validator

from ..processors.prompts import says
from ..recipe import MAX_TEXT
from ..spec import Fraction, Spec, Word

__all__ = ["METHODS", "SceneSpec", "StoryRecipe", "SubjectSpec"]

METHODS: tuple[str, ...] = (
    "base",
    "style-aligned",
    "consistory",
    "consistory + features",
    "storydiffusion",
    "dreamstory",
    "isolate",
    "isolate + reposition",
    "isolate + reposition latents",
    "ir-diffusion",
    "ir-diffusion latents",
    "ir-diffusion late",
    "reposition late",
)
"""The names of `pipelines.story_methods`, which could not be read without torch."""

STORY_VERSION = 2
"""Raised when the same story would no longer make the same pictures. In 1 scenes were as said."""

Text: TypeAlias = Annotated[str, StringConstraints(max_length=20_000)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**62)]
Side: TypeAlias = Annotated[int, Field(ge=32, le=2048)]
Box: TypeAlias = tuple[Fraction, Fraction, Fraction, Fraction]


class SubjectSpec(Spec):
    """One of the cast.

    word:     what it is called in scenes; in its portrait's prompt too.
    portrait: the prompt of its portrait.
    seed:     of its portrait; None = the story's.
    """

    word: Word
    portrait: Text
    seed: Seed | None = None

    @model_validator(mode="after")
    def _said(self) -> SubjectSpec:
        if not says(self.portrait, self.word):
            raise ValueError(
                f"portrait: came {self.portrait!r}; expected a prompt with {self.word!r}"
            )
        return self


class SceneSpec(Spec):
    """A picture of the story.

    prompt: names those who are in it by their words.
    seed:   None = the story's, plus 1 for the first scene, 2 for the second and so on.
    places: by word, boxes (left, top, right, bottom) as fractions, instead of the rehearsal's.
    """

    prompt: Text
    seed: Seed | None = None
    places: Annotated[dict[Word, Box], Field(max_length=8)] = Field(default_factory=dict)

    @field_validator("places")
    @classmethod
    def _boxes(cls, places: dict[str, Box]) -> dict[str, Box]:
        for word, (left, top, right, bottom) in places.items():
            if not (left < right and top < bottom):
                raise ValueError(
                    f"{word!r} came with {[left, top, right, bottom]}; expected left < right and "
                    "top < bottom"
                )
        return places


class StoryRecipe(Spec):
    """A cast, scenes, and how they are drawn: frozen, and a field it does not know is an error.

    method:  see `pipelines.story_methods`; the default is what `evaluate story` says most for.
    complete: whether scenes say those whom they only name as their portraits do; a recipe of
             version 1, which does not know it, does not.
    assign:  who stands where in a rehearsal: its "word" says it, or "hungarian": those most alike.
    masks:   who sees where subjects are: the "judge" of emoji world, maps of "words", or "auto",
             the judge where it knows the model's world and every word.
    retries: how often a scene is rehearsed anew while somebody is not found in it.
    seed:    of the portraits, which all start from the same noise.
    size:    (height, width) in pixels; None = the size the model was trained at.
    """

    story_version: Annotated[int, Field(ge=1, le=STORY_VERSION)] = STORY_VERSION
    model: Annotated[str, StringConstraints(max_length=4096)] = "emoji-sd"
    subjects: Annotated[tuple[SubjectSpec, ...], Field(min_length=1, max_length=8)]
    scenes: Annotated[tuple[SceneSpec, ...], Field(min_length=1, max_length=64)]
    negative: Text = ""
    seed: Seed = 0
    steps: Annotated[int, Field(ge=1, le=1000)] = 30
    guidance: Annotated[float, Field(ge=0, le=100)] = 5.0
    size: tuple[Side, Side] | None = None
    method: str = "reposition late"
    complete: bool = True
    assign: Literal["word", "hungarian"] = "word"
    masks: Literal["auto", "judge", "words"] = "auto"
    retries: Annotated[int, Field(ge=0, le=20)] = 3

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("story_version") == 1:
            return {"complete": False, **given}
        return given

    @field_validator("method")
    @classmethod
    def _known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"came {method[:80]!r}; expected one of {', '.join(METHODS)}")
        return method

    @model_validator(mode="after")
    def _whole(self) -> StoryRecipe:
        words = [subject.word for subject in self.subjects]
        if len(set(words)) < len(words):
            raise ValueError(f"subjects: came {words}; expected each with a word of its own")
        if sum(map(len, self._texts())) > MAX_TEXT:
            raise ValueError(f"prompts: more than {MAX_TEXT} characters in all; expected fewer")
        for number, scene in enumerate(self.scenes, 1):
            if not self.cast_of(number - 1):
                raise ValueError(
                    f"scenes: number {number} names nobody of the cast; expected {', '.join(words)}"
                )
            strangers = [word for word in scene.places if word not in words]
            if strangers:
                raise ValueError(
                    f"scenes: number {number} has a place for {strangers[0]!r}; expected one of "
                    f"{', '.join(words)}"
                )
        return self

    def cast_of(self, scene: int) -> tuple[str, ...]:
        """Words of those who are in a scene; the first is number 0."""
        spec = self.scenes[scene]
        words = (subject.word for subject in self.subjects)
        return tuple(word for word in words if word in spec.places or says(spec.prompt, word))

    def seed_of(self, scene: int) -> int:
        """Of a scene's noise, before it is drawn anew."""
        seed = self.scenes[scene].seed
        return self.seed + 1 + scene if seed is None else seed

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ when anything in the story does."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:8]

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    def _texts(self) -> Iterator[str]:
        yield self.negative
        yield from (subject.portrait for subject in self.subjects)
        yield from (scene.prompt for scene in self.scenes)
