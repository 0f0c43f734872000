"""The same subjects in picture after picture: portraits once, then scene by scene.

    story = Story(pipe, (Cast("cat", "a red cat on grass"), Cast("dog", "a small dog on grass")))
    out = story.scene("a cat and a dog on a beach", seed=1)
    out.image, out.places, out.notes, out.warnings

IR-Diffusion, He et al. 2024 (arXiv:2411.19261), section 3 of its code's run: every portrait is
drawn by itself; the scene is rehearsed with stock attention, to see where everybody stands; then
portraits and scene are drawn together from the same noises, under isolation, reposition and mutual
cross-attention. Portraits read nothing from the scene, so they come out as before.

ours: by default a scene says whom it only names as the portrait does (`completed`), and controls
act once the layout stands. What attention read of portraits is kept (`Memories`): a further scene
costs its own rows. They are drawn beside it by methods that need them there (`OnCanvases`,
`WithFeatures`), under controls that may change them, for Qwen-Image and beyond the budget.

Where somebody is: as the caller says, else as the segmenter sees, else where the word was looked at
(`FindPlaces`). ours: that order, all of `assign`, and that rehearsals are redrawn a few times only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ..processors.attach import attach
from ..processors.control import Control
from ..processors.controls import FindPlaces, Subject
from ..processors.controls.regions import Region
from ..processors.memory import Memory
from ..processors.prompts import says
from ..processors.run import Cancelled
from .assignment import Likeness, assigned, colour_likeness
from .calls import guidance_arguments, length_arguments, size_arguments
from .completion import completed
from .model_state import drawing_facts
from .placed_portraits import placed_portraits
from .portrait_features import injected_features
from .portrait_memories import Memories, sites_read
from .segmenters import Segmenter, checked
from .story_methods import STORY_METHODS, Method, OnCanvases, WithFeatures
from .story_parts import Cast, Scene

__all__ = ["Story"]


@dataclass(eq=False)
class Story:
    """A cast on a stock text-to-image pipeline; portraits are drawn when first needed.

    segmenter: None = words' maps say where somebody is.
    method:    the controls of the last run; `story_methods` names some, "ir-diffusion" the paper's.
    assign:    "word" = a subject is where its word is; "hungarian" = the places found are given
               to subjects so that together they are most alike, since a rehearsal may have drawn
               one where the other is called; "user" = every place must be given.
    likeness:  of a portrait and a place, for "hungarian".
    seed:      of portraits, which all start from the same noise, as in the released code.
    negative:  what no picture shall show; "" = nothing is said.
    guidance:  classifier-free guidance scale; None = the pipeline's own.
    complete:  whether scenes say those whom they only name as their portraits do (`completed`).
    call:      arguments of every call of the pipeline, such as steps and size. A callback among
               them looks on: what it changes of a portrait no scene would know.
    memories:  of what scenes read of portraits; stories that draw alike may share them.
    """

    pipe: Any
    cast: tuple[Cast, ...]
    segmenter: Segmenter | None = None
    method: Method = STORY_METHODS["reposition late"]
    assign: Literal["word", "hungarian", "user"] = "word"
    likeness: Likeness = colour_likeness
    seed: int = 0
    negative: str = ""
    guidance: float | None = None
    complete: bool = True
    call: Mapping[str, Any] = field(default_factory=dict)
    memories: Memories = field(default_factory=Memories)
    _portraits: dict[Cast, tuple[Image.Image, Region]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        words = [one.word for one in self.cast]
        if not words or len(set(words)) < len(words):
            raise ValueError(
                f"cast: came {words}; expected one or more, each with a word of its own"
            )
        if self.assign not in ("word", "hungarian", "user"):
            raise ValueError(
                f"assign: came {self.assign!r}; expected 'word', 'hungarian' or 'user'"
            )
        wrong = sorted({"prompt", "negative_prompt", "generator", "output_type"} & self.call.keys())
        if wrong:
            raise ValueError(f"call: came with {wrong[0]}, which the story itself gives")

    def portraits(self) -> dict[str, Image.Image]:
        """By word; drawn once, one call each."""
        return {one.word: self._portrait(one)[0] for one in self.cast}

    def redraw(self, word: str, seed: int) -> Image.Image:
        """Another portrait of one of the cast; the others stay."""
        before = self._one(word)
        self.memories.forget(before.portrait, self._seed(before))
        self.cast = tuple(replace(one, seed=seed) if one.word == word else one for one in self.cast)
        return self.portraits()[word]

    def keep(self, word: str, image: Image.Image, seat: Region) -> None:
        """A portrait that was drawn before, by `look`, and where its subject is: it is not drawn
        again by itself. ValueError for nobody of the cast."""
        self._portraits[self._one(word)] = (image, seat)

    def seat(self, word: str) -> Region:
        """Where a subject is in its portrait, which is drawn if it is not there yet."""
        return self._portrait(self._one(word))[1]

    def scene(
        self,
        prompt: str,
        *,
        seed: int = 1,
        places: Mapping[str, Region] | None = None,
        controls: Sequence[Control] = (),
        retries: int = 3,
    ) -> Scene:
        """Draws a scene with those of the cast whose words are in its prompt.

        places:   by word, for the rehearsal's; they go before everything.
        controls: further ones for the last run, which act after the method's.
        retries:  how often the scene's noise is drawn anew, seed + 1 and so on, while somebody is
                  not found.
        ValueError for a place of nobody, or where `assign="user"` misses one.
        """
        given = dict(places or {})
        strangers = sorted(given.keys() - {one.word for one in self.cast})
        here = tuple(one for one in self.cast if one.word in given or says(prompt, one.word))
        if strangers or not here:
            known = ", ".join(one.word for one in self.cast)
            came = strangers[0] if strangers else prompt
            raise ValueError(
                f"places, prompt: came {came!r}; expected somebody of the cast: {known}"
            )
        missing = [one.word for one in here if one.word not in given]
        if self.assign == "user" and missing:
            raise ValueError(f"places: came none for {missing[0]!r}; expected one for everybody")
        portraits = [self._portrait(one) for one in here]
        asked = prompt
        if self.complete:
            prompt = completed(prompt, {one.word: one.portrait for one in here})
        rehearsal: Image.Image | None = None
        found: dict[str, Tensor] = {}
        attempt = 0
        for attempt in range(max(0, retries) + 1 if missing else 0):
            rehearsal, found = self.look(prompt, seed + attempt, missing)
            if all(bool(mask.any()) for mask in found.values()):
                break
        if self.assign == "hungarian" and rehearsal is not None:
            known_as = {one.word: p for one, p in zip(here, portraits, strict=True)}
            wanted = {word: known_as[word] for word in missing}
            found = assigned(wanted, rehearsal, found, self.likeness)
        stands: dict[str, Region] = {**found, **given}
        subjects = tuple(
            Subject(one.word, stands[one.word], i, seat)
            for i, (one, (_, seat)) in enumerate(zip(here, portraits, strict=True))
        )
        seeds = [*(self._seed(one) for one in here), seed + attempt]
        texts = [*(one.portrait for one in here), prompt]
        placing: list[Control] = []
        if isinstance(self.method, OnCanvases):
            pictures = [image for image, _ in portraits]
            subjects, *placing = placed_portraits(self.pipe, subjects, pictures)
        every = [*placing, *self.method(subjects), *controls]
        if isinstance(self.method, WithFeatures):
            first_run = partial(self._draw, texts, seeds, "latent")
            every.append(injected_features(self.pipe, every, subjects, first_run))
        recalls, warnings = self._recalls(here, every)
        drawn = 0 if recalls is None else len(recalls)
        with attach(self.pipe, every, recalls=recalls or ()) as run:
            images = self._draw(texts[drawn:], seeds[drawn:])
        lost = tuple(
            f"{word!r} was not found in {attempt + 1} rehearsals and was left alone"
            for word, mask in found.items()
            if not bool(mask.any())
        )
        notes = () if prompt == asked else (f"the scene was drawn as {prompt!r}",)
        drawn_of = prompt, rehearsal, stands, seed + attempt
        return Scene(images[-1], *drawn_of, notes + run.notes, lost + warnings)

    def remember(self, words: Collection[str] | None = None) -> None:
        """Draws portraits, None = all, of which scenes have nothing to read yet, as they would."""
        here = [one for one in self.cast if words is None or one.word in words]
        self._recalls(here, self._usual(here))

    def look(
        self, prompt: str, seed: int, words: Sequence[str], *, keeps: Memory | None = None
    ) -> tuple[Image.Image, dict[str, Tensor]]:
        """A picture with stock attention, and where the words are, [H, W] bool each."""
        if self.segmenter is not None:
            with attach(self.pipe, [], keeps=keeps):
                image = self._draw([prompt], [seed])[0]
            return image, checked(words, self.segmenter(image, list(words)), image)
        finder = FindPlaces.of(*words)
        with attach(self.pipe, [finder], keeps=keeps):
            image = self._draw([prompt], [seed])[0]
        return image, {word: finder.place(word) for word in words}

    def _one(self, word: str) -> Cast:
        found = [one for one in self.cast if one.word == word]
        if not found:
            known = ", ".join(one.word for one in self.cast)
            raise ValueError(f"word: came {word!r}; expected one of {known}")
        return found[0]

    def _portrait(self, one: Cast) -> tuple[Image.Image, Region]:
        """Its picture, and where it is in there."""
        if one not in self._portraits:
            sites = sites_read(self.pipe, self._usual(self.cast), len(self.cast))
            seed, facts = self._seed(one), self._facts(sites or ())
            memory = self.memories.begin(one.portrait, seed, sites) if sites else None
            image, found = self.look(one.portrait, seed, [one.word], keeps=memory)
            if memory is not None:
                self.memories.put(seed, facts, memory)
            seat = found[one.word]
            if not bool(seat.any()):
                raise ValueError(
                    f"cast: {one.word!r} was not found in its own portrait, {one.portrait!r}; "
                    "expected another prompt or seed"
                )
            self._portraits[one] = (image, seat)
        return self._portraits[one]

    def _usual(self, here: Sequence[Cast]) -> Sequence[Control]:
        """The method's controls, where nobody knows yet who will be where."""
        if isinstance(self.method, OnCanvases | WithFeatures):
            return ()  # it reads what is made for each scene
        whole = (0.0, 0.0, 1.0, 1.0)
        return self.method(tuple(Subject(one.word, whole, i) for i, one in enumerate(here)))

    def _recalls(
        self, here: Sequence[Cast], controls: Sequence[Control]
    ) -> tuple[tuple[Memory, ...] | None, tuple[str, ...]]:
        """Of portraits, drawn where it is not there; None where they go beside the scene."""
        sites = sites_read(self.pipe, controls, len(here))
        if sites is None:
            return None, ()
        portraits = [(one.portrait, self._seed(one)) for one in here]
        found = self.memories.recall(portraits, sites, self._facts(sites), self._keep)
        return found, () if found is not None else (self.memories.full(),)

    def _keep(self, memory: Memory, seed: int) -> None:
        """Draws a portrait for nothing but its memory."""
        with attach(self.pipe, [], keeps=memory) as run:
            memory.when_over = run.cancel
            try:
                self._draw([memory.prompt], [seed], "latent")
            except Cancelled:
                if not memory.over:
                    raise
            finally:
                memory.when_over = None

    def _facts(self, sites: Collection[str]) -> object:
        """All that memories of these sites depend on but a portrait's prompt and seed."""
        return drawing_facts(self.pipe, self.guidance, self.negative, self.call) if sites else None

    def _draw(
        self, prompts: list[str], seeds: Sequence[int], output: str = "pil"
    ) -> list[Image.Image]:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        said: dict[str, Any] = length_arguments(self.pipe) | size_arguments(self.pipe)
        if self.guidance is not None:
            negative = self.negative or None
            said |= guidance_arguments(self.pipe, self.guidance, negative, count=len(prompts))
        elif self.negative:
            said["negative_prompt"] = [self.negative] * len(prompts)
        asked = {**said, **self.call, "output_type": output}
        found = self.pipe(prompt=prompts, generator=generators, **asked)
        return list(found.images)

    def _seed(self, one: Cast) -> int:
        return self.seed if one.seed is None else one.seed
