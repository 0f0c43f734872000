"""What a visitor has set on the page Story, and the recipe it means; no Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass

from ..story import SceneSpec, StoryRecipe, SubjectSpec
from .draft import MOST_CHARACTERS, MOST_GUIDANCE, MOST_SEED, MOST_STEPS

__all__ = ["METHOD_NAMES", "MOST_SUBJECTS", "StoryDraft"]

MOST_SUBJECTS = 3  # rows of the form

METHOD_NAMES = {
    "reposition late": "Reposition after the layout",
    "ir-diffusion late": "IR-Diffusion after the layout",
    "ir-diffusion": "IR-Diffusion",
    "ir-diffusion latents": "IR-Diffusion, reposition of latents",
    "isolate + reposition": "Isolation, reposition",
    "isolate + reposition latents": "Isolation, reposition of latents",
    "isolate": "Isolation alone",
    "dreamstory": "DreamStory",
    "storydiffusion": "StoryDiffusion",
    "consistory + features": "ConsiStory",
    "consistory": "ConsiStory without feature injection",
    "style-aligned": "StyleAligned",
    "base": "Nothing",
}
"""What keeps subjects the same, and what the form calls it."""


@dataclass(frozen=True)
class StoryDraft:
    """words, portraits: of each row of the form; a row without both is empty.

    scenes:   one a line.
    complete: whether those who are only named are said as in their portraits.
    alike:    whether looks say who stands where, instead of words.
    """

    words: tuple[str, ...] = ("cat", "dog", "")
    portraits: tuple[str, ...] = ("a red cat on grass", "a blue dog on grass", "")
    scenes: str = "a cat and a dog on the beach"
    method: str = "reposition late"
    complete: bool = True
    alike: bool = False
    model: str = "emoji-sd"
    negative: str = ""
    seed: int = 1
    steps: int = 20
    guidance: float = 5.0

    def recipe(self) -> StoryRecipe:
        """ValueError, in one sentence, for what is missing or cannot be."""
        subjects = []
        for number, (word, portrait) in enumerate(
            zip(self.words, self.portraits, strict=True), start=1
        ):
            word, portrait = word.strip(), portrait.strip()
            if bool(word) is not bool(portrait):
                raise ValueError(
                    f"subject {number}: came half, {word or portrait!r}; expected a word and the "
                    "prompt of its portrait"
                )
            if word:
                subjects.append(SubjectSpec(word=word, portrait=portrait))
        scenes = [
            SceneSpec(prompt=line.strip()) for line in self.scenes.splitlines() if line.strip()
        ]
        for what, given in (("subjects", subjects), ("scenes", scenes)):
            if not given:
                raise ValueError(f"{what}: none came; expected one or more")
        return StoryRecipe(
            model=self.model,
            subjects=tuple(subjects),
            scenes=tuple(scenes),
            negative=self.negative.strip(),
            seed=self.seed,
            steps=self.steps,
            guidance=self.guidance,
            method=self.method,
            complete=self.complete,
            assign="hungarian" if self.alike else "word",
        )

    @classmethod
    def of(cls, story: StoryRecipe) -> StoryDraft | None:
        """The draft that means this story; None when the form cannot show it."""
        empty = ("",) * max(0, MOST_SUBJECTS - len(story.subjects))
        draft = cls(
            words=(*(one.word for one in story.subjects), *empty),
            portraits=(*(one.portrait for one in story.subjects), *empty),
            scenes="\n".join(scene.prompt for scene in story.scenes),
            method=story.method,
            complete=story.complete,
            alike=story.assign == "hungarian",
            model=story.model,
            negative=story.negative,
            seed=story.seed,
            steps=story.steps,
            guidance=story.guidance,
        )
        try:
            same = draft.recipe() == story
        except ValueError:
            return None
        texts = (*draft.words, *draft.portraits, draft.scenes, draft.negative)
        fits = (
            len(draft.words) == MOST_SUBJECTS
            and draft.steps <= MOST_STEPS
            and draft.guidance <= MOST_GUIDANCE
            and draft.seed <= MOST_SEED
            and all(len(text) <= MOST_CHARACTERS for text in texts)
        )
        return draft if same and fits else None
