"""Composition as a pipeline: several subjects in a picture, none lost, each as it is said.

    pipe = StableDiffusionComposePipeline.from_pretrained(folder)
    out = pipe("a red cat and a dog", concepts=("cat", "dog"), segregation=1, retention=1, seed=1)
    out.images, out.nudges, out.warnings

A-STAR (Agarwal et al. 2023, arXiv:2306.14544) by default; Attend-and-Excite, structured phrases and
prompts for regions by their arguments. The stock call samples; here the controls are attached.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import BaseOutput

from ..processors.attach import attach
from ..processors.control import Control
from ..processors.controls import Excite, RegionPrompts, Retain, Segregate, StructurePhrases
from ..processors.controls.concepts import Concept
from ..processors.controls.regions import Region
from ..processors.nudge import Nudge
from ..processors.prompts.phrases import things
from ..processors.recorder import Maps
from .carrying import carrying
from .mixing import SteeredMixin

__all__ = [
    "ComposeMixin",
    "ComposeOutput",
    "StableDiffusionComposePipeline",
    "StableDiffusionXLComposePipeline",
]


@dataclass
class ComposeOutput(BaseOutput):  # type: ignore[misc]  # diffusers is untyped
    """The pictures and how they came about.

    images:   prompt-major, as `output_type` says.
    nudges:   what was done to the latents in each step.
    maps:     of RecordMaps among `controls`.
    warnings: what was done differently.
    nsfw_content_detected: the stock pipeline's, where it has a safety checker.
    """

    images: Any
    nudges: tuple[Nudge, ...]
    maps: Maps
    warnings: tuple[str, ...] = ()
    nsfw_content_detected: list[bool] | None = None


class ComposeMixin(SteeredMixin):
    """Stands before a stock text-to-image pipeline class, whose call it steers."""

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *args: Any,
        concepts: Sequence[Concept] | None = None,
        segregation: float = 1.0,
        retention: float = 1.0,
        excitement: float = 0.0,
        step_size: float | None = None,
        relative: bool | None = None,
        structure: bool = False,
        regions: Sequence[tuple[Region | str, str]] = (),
        controls: Sequence[Control] = (),
        seed: int | None = None,
        **call: Any,
    ) -> ComposeOutput | tuple[Any, ...]:
        """Draws the prompts; all other arguments are the stock call's.

        concepts:    words of the prompts; None = the things in them, nouns with a determiner.
        segregation, retention: weights of A-STAR's losses; 0 = off.
        excitement:  weight of Attend-and-Excite's; 0 = off.
        step_size, relative: how far these three move the latents, see `processors.Segregate`;
                     None = each as far as it does by itself.
        structure:   whether noun phrases are read by themselves.
        regions:     (box, mask or word, prompt) of each part of the picture with its own prompt.
        controls:    further ones, which act after these.
        seed:        picture i starts from seed + i; a `generator` or `latents` stands for it.

        With a scheduler that throws moves of latents away, such a call runs on DDIM.
        """
        stock: Any = super().__call__  # type: ignore[misc]
        asked = inspect.signature(stock).bind(prompt, *args, **call)
        given = asked.arguments
        texts = [prompt] if isinstance(prompt, str) else list(prompt or ())
        if seed is not None:
            if given.get("generator") is not None:
                raise ValueError("generator, seed: came both; expected one of them")
            count = len(texts or [""]) * (given.get("num_images_per_prompt") or 1)
            given["generator"] = [
                torch.Generator("cpu").manual_seed(seed + i) for i in range(count)
            ]
        whole = given.get("return_dict", True)
        given["return_dict"] = True
        words = _words(concepts, texts)
        asked_moves = {"step_size": step_size, "relative": relative}
        moves: dict[str, Any] = {k: v for k, v in asked_moves.items() if v is not None}
        every: list[Control] = []
        if segregation and len(words) > 1:
            every.append(Segregate(words, weight=segregation, **moves))
        if retention and words:
            every.append(Retain(words, weight=retention, **moves))
        if excitement and words:
            every.append(Excite(words, weight=excitement, **moves))
        every += [StructurePhrases()] if structure else []
        every += [RegionPrompts(tuple(regions))] if regions else []
        with carrying(self, (*every, *controls)) as said, attach(self, (*every, *controls)) as run:
            found = stock(*asked.args, **asked.kwargs)
        nsfw = getattr(found, "nsfw_content_detected", None)
        output = ComposeOutput(found.images, run.nudges, run.maps, said, nsfw)
        parts = (output.images, output.nudges, output.maps, output.warnings, nsfw)
        return output if whole else parts


def _words(concepts: Sequence[Concept] | None, texts: Sequence[str]) -> tuple[Concept, ...]:
    if concepts is not None:
        if isinstance(concepts, str):
            raise ValueError(f"concepts: came {concepts!r}; expected several, such as ('cat',)")
        return tuple(concepts)
    return tuple(dict.fromkeys(word for text in texts for word in things(text)))


class StableDiffusionComposePipeline(ComposeMixin, StableDiffusionPipeline):  # type: ignore[misc]
    """Stable Diffusion 1.x and 2.x."""


class StableDiffusionXLComposePipeline(ComposeMixin, StableDiffusionXLPipeline):  # type: ignore[misc]
    """Stable Diffusion XL."""
