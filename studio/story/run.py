"""A story is drawn: portraits that are not there yet, then scene by scene, on a warm pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeAlias

from PIL.Image import Image
from torch import Tensor

from ..drawing import Drawing, Watch
from ..models import Model
from ..pipelines.story import Story
from ..pipelines.story_methods import STORY_METHODS
from ..pipelines.story_parts import Cast, Scene
from ..processors.receipt import Receipt, compare
from ..weights_digest import weights_digest
from .by_judge import by_judge
from .portraits import Portraits
from .recipe import StoryRecipe

__all__ = ["DrawnScene", "DrawnStory", "draw_story"]

Masks: TypeAlias = Literal["judge", "words"]


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """A scene, how it differs from its rehearsal, and what the judge reads in it.

    receipt: None where every place was given, so that nothing was rehearsed.
    verdict: None unless the model draws emoji world.
    """

    scene: Scene
    cast: tuple[str, ...]
    receipt: Receipt | None
    verdict: str | None
    seconds: float


@dataclass(frozen=True, eq=False)
class DrawnStory:
    """What came of a recipe.

    portraits: by word, where each is kept.
    reused:    words whose portraits were there already.
    masks:     who saw where subjects are.
    """

    recipe: StoryRecipe
    portraits: Mapping[str, Path]
    reused: tuple[str, ...]
    scenes: tuple[DrawnScene, ...]
    masks: Masks
    timings: Mapping[str, float]


def draw_story(
    pipe: Any,
    about: Model,
    recipe: StoryRecipe,
    portraits: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> DrawnStory:
    """Draws all scenes.

    about:     of the pipeline's model.
    portraits: the folder in which portraits are kept and found again.
    progress:  told after every step; a scene that is rehearsed anew counts only once.
    cancel:    asked after every step; True ends the run by `processors.Cancelled`.

    ValueError for what the recipe cannot mean, such as somebody who is not in its portrait.
    """
    from ..emoji import judge_many

    masks = _masks(recipe, about)
    call: dict[str, Any] = {"num_inference_steps": recipe.steps}
    if recipe.size is not None:
        call |= {"height": recipe.size[0], "width": recipe.size[1]}
    facts = {
        **call,
        "guidance_scale": recipe.guidance,
        "version": recipe.story_version,
        "negative": recipe.negative,
        "weights": weights_digest(pipe),
        "scheduler": [type(pipe.scheduler).__name__, str(dict(pipe.scheduler.config))],
        "device": pipe.device.type,
        "masks": masks,
    }
    kept = Portraits(portraits, facts)
    paths = {
        one.word: kept.path(one.word, one.portrait, _seed(recipe, one.seed))
        for one in recipe.subjects
    }
    there = {word: found for word, path in paths.items() if (found := kept.find(path)) is not None}
    shown = {word for number in range(len(recipe.scenes)) for word in recipe.cast_of(number)}
    calls = len((paths.keys() - there.keys()) | shown) + 2 * len(recipe.scenes)
    watch = Watch(recipe.steps * calls, recipe.steps, _bounded(progress), cancel)
    story = Story(
        pipe,
        tuple(Cast(one.word, one.portrait, one.seed) for one in recipe.subjects),
        by_judge(judge_many) if masks == "judge" else None,
        STORY_METHODS[recipe.method],
        recipe.assign,
        seed=recipe.seed,
        negative=recipe.negative,
        guidance=recipe.guidance,
        complete=recipe.complete,
        call={**call, "callback_on_step_end": watch},
    )
    start = perf_counter()
    for word, (image, seat) in there.items():
        story.keep(word, image, seat)
    for word, image in story.portraits().items():
        if word not in there:
            place = story.seat(word)
            assert isinstance(place, Tensor)  # nobody gave a box
            kept.keep(paths[word], image, place)
    story.remember(shown)  # of those from before, whose picture alone no scene can read
    timings = {"portraits": perf_counter() - start}
    scenes = []
    for number in range(len(recipe.scenes)):
        watch.done = recipe.steps * (calls - 2 * (len(recipe.scenes) - number))
        scenes.append(_scene(story, recipe, number, about))
    timings["scenes"] = sum(scene.seconds for scene in scenes)
    timings = {name: round(seconds, 3) for name, seconds in timings.items()}
    return DrawnStory(recipe, paths, tuple(there), tuple(scenes), masks, timings)


def _scene(story: Story, recipe: StoryRecipe, number: int, about: Model) -> DrawnScene:
    spec, start = recipe.scenes[number], perf_counter()
    places = dict(spec.places)
    scene = story.scene(
        spec.prompt, seed=recipe.seed_of(number), places=places, retries=recipe.retries
    )
    receipt = None
    if scene.rehearsal is not None:
        receipt = compare(*Drawing.pixels([scene.rehearsal, scene.image]))
    verdict = _verdict(scene.image, scene.prompt) if about.nouns else None
    spent = perf_counter() - start
    return DrawnScene(scene, recipe.cast_of(number), receipt, verdict, round(spent, 3))


def _masks(recipe: StoryRecipe, about: Model) -> Masks:
    from ..emoji.words import HELD_OUT_NOUNS, NOUNS

    strangers = [one.word for one in recipe.subjects if one.word not in {*NOUNS, *HELD_OUT_NOUNS}]
    if recipe.masks == "judge" and strangers:
        raise ValueError(
            f"masks: came 'judge', which does not know {strangers[0]!r}; expected 'words'"
        )
    if recipe.masks == "auto":
        return "judge" if about.nouns and not strangers else "words"
    return recipe.masks


def _verdict(image: Image, prompt: str) -> str:
    from ..emoji import expect, judge, score

    return score(judge(image), expect(prompt)).text()


def _seed(recipe: StoryRecipe, own: int | None) -> int:
    return recipe.seed if own is None else own


def _bounded(progress: Callable[[int, int], None] | None) -> Callable[[int, int], None] | None:
    """Rehearsals that are drawn anew make more steps than were counted."""
    if progress is None:
        return None
    return lambda done, total: progress(min(done, total), total)
