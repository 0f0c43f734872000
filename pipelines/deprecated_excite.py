"""Attend-and-Excite by diffusers' own, deprecated pipeline: the yardstick beside ours.

Chefer et al. 2023 (arXiv:2301.13826). As it is in diffusers 0.42: the pass for the gradient also
runs after the last move, and does not scale the latents, so it suits DDIM but not Euler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..processors.call import Grid
from ..processors.families import family_of
from ..processors.prompts import tokenize

__all__ = ["excite_by_diffusers", "map_grid"]

Callback = Callable[[int, int, Any], None]
"""Step, timestep, latents."""


def excite_by_diffusers(
    pipe: Any,
    prompt: str,
    words: Sequence[str],
    *,
    grid: Grid,
    steps: int,
    scale: float = 20.0,
    thresholds: Sequence[tuple[float, float]] = ((0.0, 0.05), (0.2, 0.5), (0.4, 0.8)),
    callback: Callback | None = None,
    **call: Any,
) -> Any:
    """The output of diffusers' pipeline on the parts of a stock one, which is left as it was.

    words:      of the prompt; the last token of each is excited.
    grid:       of the maps, see `map_grid`.
    thresholds: (part of the denoising, threshold); moves are made in its first half.
    """
    from diffusers import StableDiffusionAttendAndExcitePipeline as Deprecated

    text = tokenize(prompt, family_of(pipe).blocks(pipe, pipe.tokenizer.model_max_length))
    own = Deprecated(
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        unet=pipe.unet,
        scheduler=pipe.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    own.set_progress_bar_config(disable=True)
    stock = dict(pipe.unet.attn_processors)
    flags = [parameter.requires_grad for parameter in pipe.unet.parameters()]
    pipe.unet.requires_grad_(False)
    try:
        return own(
            prompt=prompt,
            token_indices=[text.find(word).indices[-1] for word in words],
            num_inference_steps=steps,
            max_iter_to_alter=-(-steps // 2),
            thresholds={int(at * steps + 1e-6): limit for at, limit in thresholds},
            scale_factor=scale,
            attn_res=grid,
            callback=callback,
            **call,
        )
    finally:
        pipe.unet.set_attn_processor(stock)
        for parameter, flag in zip(pipe.unet.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)


def map_grid(pipe: Any, size: tuple[int, int]) -> Grid:
    """The grid on which word maps are read for pictures of this (height, width) in pixels."""
    family = family_of(pipe)
    latents = (size[0] // pipe.vae_scale_factor, size[1] // pipe.vae_scale_factor)
    for _, site in family.sites(family.denoiser(pipe)):
        if site.maps:
            return site.grid(latents)
    raise ValueError(f"pipe: {type(pipe).__name__} has no site whose word maps are read")
