"""The steps up of a recipe: its picture is enlarged and drawn over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .finer_spec import finer_sizes
from .pipelines.calls import guidance_arguments, length_arguments
from .pipelines.coarse_to_fine import Finer, redraw
from .processors import LocalWindow
from .processors.families.positions import stretch
from .recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_finer", "draw_over"]


def check_finer(pipe: Any, recipe: Recipe) -> None:
    """ValueError for windows and an ntk that the model cannot have, before anything is drawn."""
    windowed = any(step.radius is not None for step in recipe.finer)
    if windowed and getattr(pipe, "transformer", None) is None:
        raise ValueError(
            f"finer: a radius came for {type(pipe).__name__}, which has no windows; expected none, "
            "or a model of the family of FLUX, Stable Diffusion 3 or Qwen-Image"
        )
    for step in recipe.finer:
        if step.ntk != 1:
            stretch(pipe.transformer, step.ntk)()  # and back again


def draw_over(pipe: Any, recipe: Recipe, prompt: str, image: Image, seed: int, watch: Any) -> Image:
    """The finest picture of one prompt; step i has noise of `seed` + i."""
    assert recipe.size is not None
    sizes = finer_sizes(recipe.size, recipe.finer, 2 * pipe.vae_scale_factor)
    for number, (step, size) in enumerate(zip(recipe.finer, sizes, strict=True), 1):
        controls = []
        if step.radius is not None:
            controls.append(LocalWindow(step.radius, scale="proportional", ntk=step.ntk))
        asked = {
            "prompt": prompt,
            **guidance_arguments(pipe, recipe.guidance, recipe.negative or None),
            **length_arguments(pipe),
            "num_inference_steps": recipe.steps,
            "generator": torch.Generator("cpu").manual_seed(seed + number),
            "callback_on_step_end": watch,
        }
        image = redraw(pipe, image, Finer(size, step.strength, controls, step.tiled), asked)
    return image
