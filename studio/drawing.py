"""Calls a pipeline for a recipe: paired under controls for an edit, else once a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .build import build
from .device import UnavailableError
from .drawing_finer import check_finer, draw_over
from .pipelines.calls import guidance_arguments, length_arguments
from .pipelines.carrying import carrying
from .processors.attach import attach
from .processors.recorder import Maps
from .processors.run import Cancelled, Run
from .recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from .preview import Preview

__all__ = ["Drawing", "Watch", "draw", "draw_plain", "draw_together", "shared"]


@dataclass(frozen=True, eq=False)
class Drawing:
    """What came out of the pipeline's calls.

    run: that of an edit, which can still be asked for receipts.
    place, of: this is number `place` of so many recipes whose pictures came from the same call,
         in which `run` counts all pictures: `every`, prompt by prompt.
    """

    images: tuple[Image, ...]
    maps: Mapping[str, tuple[NDArray[np.float32] | None, ...]]
    warnings: tuple[str, ...]
    scheduler: str
    run: Run | None = None
    place: int = 0
    of: int = 1
    every: tuple[Image, ...] = ()

    @staticmethod
    def pixels(images: Sequence[Image]) -> list[torch.Tensor]:
        """Each [3, h, w] in [0, 1]."""
        arrays = (np.asarray(image.convert("RGB"), np.float32) / 255 for image in images)
        return [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]


@dataclass
class Watch:
    """Stands at the end of every step: counts, tells, shows, and ends the run when asked to."""

    total: int
    steps: int
    progress: Callable[[int, int], None] | None = None
    cancel: Callable[[], bool] | None = None
    preview: Callable[[Image], None] | None = None
    painter: Preview | None = None
    done: int = field(default=0, init=False)

    def __call__(
        self, _pipe: object, step: int, _t: object, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """As diffusers' callback_on_step_end."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
        self.check()
        latents = tensors.get("latents")
        if latents is not None and not bool(torch.isfinite(latents).all()):
            raise UnavailableError(
                f"step {step + 1}: the latents are no longer numbers; choose dtype float32"
            )
        rare = max(1, self.steps // 8)
        if self.preview and self.painter and latents is not None and step % rare == rare - 1:
            self.preview(self.painter.paint(latents))
        return tensors

    def check(self) -> None:
        """Raises `Cancelled` when that is wished for."""
        if self.cancel is not None and self.cancel():
            raise Cancelled("the run was cancelled")


def draw(pipe: Any, recipe: Recipe, watch: Watch) -> Drawing:
    """All pictures of the recipe, its size being known.

    An edit is one call: all its prompts start from the noise of `seed`. In any other run each
    prompt is a call of its own with seed + i, so a picture does not depend on the others.
    """
    watch.check()
    check_finer(pipe, recipe)
    return (_draw_edit if recipe.is_edit else _draw_each)(pipe, recipe, watch)


def draw_plain(pipe: Any, recipe: Recipe, watch: Watch) -> tuple[Image, ...]:
    """Without controls, on the same noise: an edit's edited prompts, else all prompts."""
    images: list[Image] = []
    for i, prompt in enumerate(recipe.prompts):
        if recipe.is_edit and i == 0:
            continue
        seed = recipe.seed if recipe.is_edit else recipe.seed + i
        with carrying(pipe, build(recipe, None if recipe.is_edit else i)):  # its scheduler too
            drawn = _call(pipe, recipe, [prompt], [seed], watch)
        images += [draw_over(pipe, recipe, prompt, image, seed, watch) for image in drawn]
    return tuple(images)


def draw_together(pipe: Any, recipes: Sequence[Recipe], watch: Watch) -> tuple[Drawing, ...]:
    """As `draw`, but each call of the pipeline makes a picture for every recipe.

    Calls of another shape round differently, so a picture depends, by less than a grey level
    nearly everywhere, on how many are drawn with it; never on which ones. With steps up each is
    drawn by itself.

    recipes: they differ in their seeds only or, where there are no controls, also in the words of
             their prompts; ValueError for others.
    """
    first, count = recipes[0], len(recipes)
    if count == 1 or first.finer:
        return tuple(draw(pipe, recipe, watch) for recipe in recipes)
    if len({shared(recipe) for recipe in recipes}) > 1:
        raise ValueError(
            "recipes: they differ in more than their seeds, and without controls their prompts; "
            "expected recipes that one call can draw"
        )
    watch.check()
    calls = [tuple(range(len(first.prompts)))] if first.is_edit else None
    images: list[Image] = []
    maps: list[dict[str, list[NDArray[np.float32] | None]]] = [{} for _ in recipes]
    warnings: list[str] = []
    scheduler, run = type(pipe.scheduler).__name__, None
    for prompts in calls or [(i,) for i in range(len(first.prompts))]:
        controls = build(first, None if first.is_edit else prompts[0])
        step = 0 if first.is_edit else prompts[0]
        with carrying(pipe, controls) as said:
            scheduler = type(pipe.scheduler).__name__
            if not controls:
                texts = [recipe.prompts[prompts[0]] for recipe in recipes]
                seeds = [recipe.seed + step for recipe in recipes]
                images += _call(pipe, first, texts, seeds, watch)
            else:
                with attach(pipe, controls) as run:
                    texts = [first.prompts[p] for p in prompts]
                    seeds = [recipe.seed + step for recipe in recipes] * len(prompts)
                    images += _call(pipe, first, texts, seeds, watch, each=count)
                for number, p in enumerate(prompts):
                    for place, into in enumerate(maps):
                        _collect(into, run.maps, number, p, len(first.prompts), image=place)
        warnings += said
    return tuple(
        Drawing(
            tuple(images[place::count]),
            _frozen(maps[place]),
            tuple(dict.fromkeys(warnings)),
            scheduler,
            run if first.is_edit else None,
            place,
            count,
            tuple(images),
        )
        for place in range(count)
    )


def shared(recipe: Recipe) -> Recipe:
    """What recipes must have in common to be drawn together."""
    prompts = recipe.prompts if recipe.controls else ("",) * len(recipe.prompts)
    return recipe.model_copy(update={"seed": 0, "prompts": prompts})


def _draw_edit(pipe: Any, recipe: Recipe, watch: Watch) -> Drawing:
    controls = build(recipe)
    seeds = [recipe.seed] * len(recipe.prompts)
    with carrying(pipe, controls) as said:
        with attach(pipe, controls) as run:
            images = _call(pipe, recipe, recipe.prompts, seeds, watch)
        scheduler = type(pipe.scheduler).__name__
    maps: dict[str, list[NDArray[np.float32] | None]] = {}
    for p in range(len(recipe.prompts)):
        _collect(maps, run.maps, p, p, len(recipe.prompts))
    return Drawing(tuple(images), _frozen(maps), said, scheduler, run)


def _draw_each(pipe: Any, recipe: Recipe, watch: Watch) -> Drawing:
    images: list[Image] = []
    maps: dict[str, list[NDArray[np.float32] | None]] = {}
    warnings: list[str] = []
    scheduler, count = type(pipe.scheduler).__name__, len(recipe.prompts)
    steering = [build(recipe, i) for i in range(count)]  # every error before the first step
    for i, (prompt, controls) in enumerate(zip(recipe.prompts, steering, strict=True)):
        seeds = [recipe.seed + i]
        with carrying(pipe, controls) as said:
            scheduler = type(pipe.scheduler).__name__
            if controls:
                with attach(pipe, controls) as run:
                    drawn = _call(pipe, recipe, [prompt], seeds, watch)
                _collect(maps, run.maps, 0, i, count)
            else:
                drawn = _call(pipe, recipe, [prompt], seeds, watch)
        images += [draw_over(pipe, recipe, prompt, image, seeds[0], watch) for image in drawn]
        warnings += said
    return Drawing(tuple(images), _frozen(maps), tuple(warnings), scheduler)


def _call(
    pipe: Any,
    recipe: Recipe,
    prompts: Sequence[str],
    seeds: Sequence[int],
    watch: Watch,
    each: int = 1,
) -> list[Image]:
    """seeds: one a picture, prompt by prompt.    each: pictures of a prompt."""
    assert recipe.size is not None
    height, width = recipe.size
    one = len(prompts) == 1
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    images: list[Image] = pipe(
        prompt=prompts[0] if one else list(prompts),
        **guidance_arguments(
            pipe, recipe.guidance, recipe.negative or None, count=None if one else len(prompts)
        ),
        **length_arguments(pipe),
        num_inference_steps=recipe.steps,
        height=height,
        width=width,
        num_images_per_prompt=each,
        generator=generators[0] if len(seeds) == 1 else generators,
        callback_on_step_end=watch,
    ).images
    return images


def _collect(
    into: dict[str, list[NDArray[np.float32] | None]],
    maps: Maps,
    prompt: int,
    picture: int,
    count: int,
    image: int = 0,
) -> None:
    """Puts the maps of a prompt where its picture's are; the finest grid of each word."""
    for number, word in maps.words:
        if number != prompt:
            continue
        grid = next(g for g in maps.grids if _has(maps, word, prompt, g))
        heat = maps.get(word, prompt=prompt, image=image, grid=grid).float().cpu().numpy()
        into.setdefault(word, [None] * count)[picture] = heat


def _has(maps: Maps, word: str, prompt: int, grid: tuple[int, int]) -> bool:
    try:
        maps.get(word, prompt=prompt, grid=grid)
    except ValueError:
        return False
    return True


def _frozen(
    maps: Mapping[str, Sequence[NDArray[np.float32] | None]],
) -> dict[str, tuple[NDArray[np.float32] | None, ...]]:
    return {word: tuple(arrays) for word, arrays in maps.items()}
