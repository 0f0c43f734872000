"""Runs a recipe on its model: one picture a prompt, timings, warnings, the judge's verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .models import Model, describe
from .pipelines.load import load
from .recipe import Recipe

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from .emoji import Scene, Score

__all__ = [
    "Progress",
    "Result",
    "Verdict",
    "choose_device",
    "choose_dtype",
    "cut_words",
    "generate",
    "run",
]

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")

Progress = Callable[[int, int], None]
"""Called with the steps done and the steps in all, over every picture of the run."""


@dataclass(frozen=True)
class Verdict:
    """What the judge of emoji world saw in a picture, and how it compares with the prompt."""

    scene: Scene
    score: Score


@dataclass(frozen=True)
class Result:
    """Pictures in the order of the prompts, and all that is known about them.

    recipe:   the one that ran, its size filled in.
    verdicts: one a picture; None when the model does not draw emoji world.
    timings:  seconds by name: load, generate, judge.
    """

    recipe: Recipe
    images: tuple[Image, ...]
    verdicts: tuple[Verdict, ...] | None
    warnings: tuple[str, ...]
    timings: dict[str, float]


def generate(
    recipe: Recipe,
    *,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Load the recipe's model and run it.

    device: "auto" (CUDA when there is one), "cpu", "cuda" or "cuda:1".
    dtype:  "auto" (bfloat16 on CUDA, float32 on the CPU) or the name of one.
    """
    model = describe(recipe.model)
    recipe = _with_size(recipe, model)
    start = perf_counter()
    pipe = load(recipe.model, device=choose_device(device), dtype=choose_dtype(dtype))
    loaded = perf_counter() - start
    result = run(pipe, recipe, model, progress=progress)
    return replace(result, timings={"load": round(loaded, 3), **result.timings})


def run(
    pipe: DiffusionPipeline, recipe: Recipe, model: Model, *, progress: Progress | None = None
) -> Result:
    """Run a recipe on a pipeline that is loaded already.

    Each prompt is its own call, so a picture does not depend on the others of its run.
    """
    import torch

    recipe = _with_size(recipe, model)
    assert recipe.size is not None
    height, width = recipe.size
    total = recipe.steps * len(recipe.prompts)
    start, images = perf_counter(), []
    for i, prompt in enumerate(recipe.prompts):

        def after_step(
            _pipe: object, step: int, _t: object, tensors: dict[str, Any], done: int = i
        ) -> dict[str, Any]:
            if progress is not None:
                progress(done * recipe.steps + step + 1, total)
            return tensors

        images += pipe(
            prompt=prompt,
            negative_prompt=recipe.negative,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.guidance,
            height=height,
            width=width,
            generator=torch.Generator("cpu").manual_seed(recipe.seed + i),
            callback_on_step_end=after_step,
        ).images
    drawn = perf_counter() - start
    verdicts = _judge(images, recipe.prompts) if model.nouns else None
    return Result(
        recipe=recipe,
        images=tuple(images),
        verdicts=verdicts,
        warnings=tuple(_warnings(pipe, recipe, model)),
        timings={
            "generate": round(drawn, 3),
            "judge": round(perf_counter() - start - drawn, 3),
        },
    )


def cut_words(tokenizer: Any, prompt: str) -> str:
    """The end of `prompt` that its tokenizer cuts off, from the first word that is touched."""
    limit = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    tokens = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    if len(tokens["input_ids"]) <= limit:
        return ""
    first = tokens["offset_mapping"][limit][0]
    while first > 0 and not prompt[first - 1].isspace():
        first -= 1
    return prompt[first:].strip()


def _warnings(pipe: DiffusionPipeline, recipe: Recipe, model: Model) -> list[str]:
    found = []
    for prompt in (*recipe.prompts, recipe.negative):
        cut = cut_words(pipe.tokenizer, prompt) if hasattr(pipe, "tokenizer") else ""
        if cut:
            found.append(f"the text encoder's limit cuts these words off: {cut}")
    if model.image_size and recipe.size != (model.image_size, model.image_size):
        found.append(
            f"{model.name} was trained at {model.image_size} x {model.image_size} pixels; "
            "at other sizes its pictures get worse"
        )
    return found


def _judge(images: list[Image], prompts: tuple[str, ...]) -> tuple[Verdict, ...]:
    from .emoji import expect, judge, score

    scenes = [judge(image) for image in images]
    return tuple(
        Verdict(scene, score(scene, expect(prompt)))
        for scene, prompt in zip(scenes, prompts, strict=True)
    )


def _with_size(recipe: Recipe, model: Model) -> Recipe:
    size = recipe.size or ((model.image_size or 512),) * 2
    for name, side in zip(("height", "width"), size, strict=True):
        if side % model.factor:
            raise ValueError(
                f"{name}: {side} came; {model.name} expects a multiple of {model.factor}"
            )
    return recipe.model_copy(update={"size": size})


def choose_device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in DEVICES:
        raise ValueError(f"device: {name!r} came; expected one of {', '.join(DEVICES)}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"device: {name!r} came, but this machine has no CUDA device")
    return name


def choose_dtype(name: str) -> torch.dtype | None:
    import torch

    if name not in DTYPES:
        raise ValueError(f"dtype: {name!r} came; expected one of {', '.join(DTYPES)}")
    return None if name == "auto" else getattr(torch, name)
