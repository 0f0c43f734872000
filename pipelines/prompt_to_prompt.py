"""Prompt-to-Prompt as a pipeline: the first prompt is the source, every further one an edit of it.

    pipe = StableDiffusionPromptToPromptPipeline.from_pretrained(folder)
    out = pipe(["a cat on grass", "a dog on grass"], mode="swap", blend=("cat", "dog"), seed=1)
    out.images, out.receipts, out.maps, out.warnings

Hertz et al. 2022 (arXiv:2208.01626). The stock call samples; here its arguments are paired and the
method's controls attached.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import (
    FluxPipeline,
    QwenImagePipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from diffusers.utils import BaseOutput

from ..processors.attach import attach
from ..processors.control import Control
from ..processors.families import family_of
from ..processors.receipt import Receipt
from ..processors.recorder import Maps
from ..processors.run import Run
from .carrying import carrying
from .edit_controls import During, Mode, edit_controls
from .edit_defaults import blend_threshold, text_held
from .mixing import SteeredMixin
from .pairing import paired_generators, paired_latents

__all__ = [
    "FluxPromptToPromptPipeline",
    "PromptToPromptMixin",
    "PromptToPromptOutput",
    "QwenImagePromptToPromptPipeline",
    "StableDiffusion3PromptToPromptPipeline",
    "StableDiffusionPromptToPromptPipeline",
    "StableDiffusionXLPromptToPromptPipeline",
]


@dataclass
class PromptToPromptOutput(BaseOutput):  # type: ignore[misc]  # diffusers is untyped
    """The pictures and what is known of the edits.

    images:   prompt-major, source first, as `output_type` says.
    receipts: one for each picture but the source's; none for output_type="latent".
    maps:     of the words of `blend` and of RecordMaps among `controls`.
    warnings: what was done differently, and what the receipts warn of.
    nsfw_content_detected: the stock pipeline's, where it has a safety checker.
    """

    images: Any
    receipts: tuple[Receipt, ...]
    maps: Maps
    warnings: tuple[str, ...] = ()
    nsfw_content_detected: list[bool] | None = None


class PromptToPromptMixin(SteeredMixin):
    """Stands before a stock text-to-image pipeline class, whose call it steers."""

    scheduler: Any
    image_processor: Any

    def __call__(
        self,
        prompt: Sequence[str] | None = None,
        *args: Any,
        mode: Mode = "swap",
        weights: Mapping[str, float] | None = None,
        blend: Sequence[str | Sequence[str]] | None = None,
        cross_replace: During | Mapping[str, During] | None = None,
        self_replace: During = 0.4,
        controls: Sequence[Control] = (),
        seed: int | None = None,
        **call: Any,
    ) -> PromptToPromptOutput | tuple[Any, ...]:
        """Draws the source and its edits; all other arguments are the stock call's.

        mode:     "swap" exchanges words for as many others, "refine" adds words or takes them away,
                  "reweight" is "refine" with `weights`, as in the authors' code.
        weights:  of words of the edits; in the other modes too.
        blend:    for each prompt the word, or words, outside whose places the source stays: above
                  0.3 of their map's maximum; ours: to refine, where text and picture are read
                  together, 0.5.
        cross_replace: when edits look at the text as the source does; for single words by a
                  mapping, whose "default_" (all of the run, as in the authors' code) is the rest.
                  None = the paper's 0.8; ours: where text and picture are read together 0.4, and
                  to refine without weights never (`edit_defaults`).
        self_replace: when they keep its layout. The paper's examples: 0.4.
        controls: further ones, which act after these.
        seed:     picture i of each prompt starts from seed + i. A `generator` or `latents`, for the
                  pictures of one prompt or of all, stands for it.

        With a scheduler that throws edits of latents away, such a call runs on DDIM.
        """
        stock: Any = super().__call__  # type: ignore[misc]
        asked = inspect.signature(stock).bind(prompt, *args, **call)
        given = asked.arguments
        unknown = given.get("kwargs", {}).keys() - {"callback", "callback_steps"}
        if unknown:
            raise ValueError(f"{min(unknown)}: {type(self).__name__} has no such argument")
        texts = given["prompt"] = _prompts(prompt)
        if isinstance(given.get("negative_prompt"), str):  # some repeat it, others fail
            given["negative_prompt"] = [given["negative_prompt"]] * len(texts)
        images = given.get("num_images_per_prompt") or 1
        given["generator"] = paired_generators(given.get("generator"), seed, len(texts), images)
        if given.get("latents") is not None:
            given["latents"] = paired_latents(given["latents"], len(texts), images)
        whole = given.get("return_dict", True)
        given["return_dict"] = True
        joint, adds = family_of(self).joint, mode == "refine"
        if cross_replace is None:
            cross_replace = text_held(joint=joint, adds=adds, weighed=bool(weights))
        cut = blend_threshold(joint=joint, adds=adds)
        method = edit_controls(mode, texts, weights or {}, blend, cross_replace, self_replace, cut)
        every = (*method, *controls)
        with carrying(self, every) as said, attach(self, every) as run:
            found = stock(*asked.args, **asked.kwargs)
        receipts: tuple[Receipt, ...] = ()
        if given.get("output_type") != "latent":
            receipts = _receipts(run, self._pixels(found.images), len(texts), images, said)
        heard = (warning for receipt in receipts for warning in receipt.warnings)
        warnings = tuple(dict.fromkeys((*said, *heard)))
        nsfw = getattr(found, "nsfw_content_detected", None)
        output = PromptToPromptOutput(found.images, receipts, run.maps, warnings, nsfw)
        parts = (output.images, output.receipts, output.maps, output.warnings, nsfw)
        return output if whole else parts

    def _pixels(self, images: Any) -> torch.Tensor:
        """[P·n, 3, h, w] in [0, 1]."""
        if isinstance(images, torch.Tensor):
            return images
        if isinstance(images, list):
            images = self.image_processor.pil_to_numpy(images)
        pixels: torch.Tensor = self.image_processor.numpy_to_pt(images)
        return pixels


def _prompts(prompt: Any) -> list[str]:
    texts = [] if isinstance(prompt, str) or prompt is None else list(prompt)
    if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"prompt: came {prompt!r}; expected a list of the source and its edits")
    return texts


def _receipts(
    run: Run, pixels: torch.Tensor, prompts: int, images: int, said: tuple[str, ...]
) -> tuple[Receipt, ...]:
    found = (
        run.receipt(list(pixels), edit=edit, image=image)
        for edit in range(1, prompts)
        for image in range(images)
    )
    return tuple(replace(receipt, warnings=said + receipt.warnings) for receipt in found)


class StableDiffusionPromptToPromptPipeline(PromptToPromptMixin, StableDiffusionPipeline):  # type: ignore[misc]
    """Stable Diffusion 1.x and 2.x."""


class StableDiffusionXLPromptToPromptPipeline(PromptToPromptMixin, StableDiffusionXLPipeline):  # type: ignore[misc]
    """Stable Diffusion XL."""


class StableDiffusion3PromptToPromptPipeline(PromptToPromptMixin, StableDiffusion3Pipeline):  # type: ignore[misc]
    """Stable Diffusion 3 and 3.5."""


class FluxPromptToPromptPipeline(PromptToPromptMixin, FluxPipeline):  # type: ignore[misc]
    """FLUX.1; true guidance by `true_cfg_scale` and `negative_prompt`."""


class QwenImagePromptToPromptPipeline(PromptToPromptMixin, QwenImagePipeline):  # type: ignore[misc]
    """Qwen-Image."""
