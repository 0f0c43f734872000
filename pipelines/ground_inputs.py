"""What the denoiser is given to look at a picture: noised latents and encoded words.

flows:  x = (1 − σ) z + σ n         t = 1000 σ
UNets:  x = √ᾱ_t z + √(1 − ᾱ_t) n     t = noise · number of training timesteps
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..processors.call import Grid
from ..processors.families import family_of
from .calls import length_arguments, size_arguments
from .flow_conditioning import condition, predicts_flow
from .predict import Conditioning

__all__ = ["clean_latents", "condition_plainly", "looking", "noised", "seen_size"]

_TEXT_TOKENS = 64  # ours: of T5; padding is not masked, so that more of it draws more attention off


def seen_size(pipe: Any, picture: Image.Image) -> Grid:
    """(height, width) in pixels at which the model looks: long side as trained, aspect kept."""
    height, width = picture.height, picture.width
    factor = _factor(pipe)
    trained = _trained(pipe)
    scale = trained / max(height, width)
    high, wide = (max(factor, round(side * scale / factor) * factor) for side in (height, width))
    return high, wide


def clean_latents(pipe: Any, pictures: Sequence[Image.Image], size: Grid) -> Tensor:
    """z [B, C, h, w]: the mean of the autoencoder's distribution, scaled as the pipeline does."""
    factor = _factor(pipe)
    if any(side % factor or side < factor for side in size):
        raise ValueError(f"size: came {size}; expected multiples of {factor} pixels")
    vae = pipe.vae
    pixels = torch.cat([pipe.image_processor.preprocess(p.convert("RGB"), *size) for p in pictures])
    kept = vae.dtype
    upcast = kept is torch.float16 and vae.config.force_upcast  # as stock pipelines do, since
    if upcast:  # such an autoencoder overflows in fp16
        vae.to(torch.float32)
    try:
        pixels = pixels.to(device=pipe._execution_device, dtype=vae.dtype)
        found = vae.encode(pixels).latent_dist.mode()
    finally:
        if upcast:
            vae.to(kept)
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    latents: Tensor = (found - shift) * vae.config.scaling_factor
    denoiser: Any = family_of(pipe).denoiser(pipe)
    return latents.to(denoiser.dtype)


def noised(pipe: Any, latents: Tensor, level: float, seed: int) -> tuple[Tensor, Tensor]:
    """The latents as the denoiser takes them (packed), and t; every row gets the same noise.

    level: from 0, the picture, to 1, noise alone.
    """
    family, generator = family_of(pipe), torch.Generator().manual_seed(seed)
    noise = torch.randn(latents.shape[1:], generator=generator, dtype=torch.float32)
    noise = noise.to(latents).expand_as(latents)
    if predicts_flow(pipe):
        t = torch.tensor(1000.0 * level, device=latents.device)
        return family.pack((1 - level) * latents + level * noise), t
    last = pipe.scheduler.config.num_train_timesteps - 1
    t = torch.tensor(round(level * last), device=latents.device)
    return pipe.scheduler.add_noise(latents, noise, t.expand(len(latents))), t


def condition_plainly(pipe: Any, prompts: Sequence[str], size: Grid) -> Conditioning:
    """Without guidance, for pictures of (height, width) pixels = `size`."""
    factor = pipe.vae_scale_factor
    latents = size[0] // factor, size[1] // factor
    if predicts_flow(pipe):
        most = length_arguments(pipe).get("max_sequence_length", _TEXT_TOKENS)
        return condition(pipe, prompts, None, latents, max_sequence_length=min(most, _TEXT_TOKENS))
    device = pipe._execution_device
    if not hasattr(pipe, "text_encoder_2"):
        cond, _ = pipe.encode_prompt(list(prompts), device, 1, False)
        return Conditioning(cond)
    cond, _, pooled, _ = pipe.encode_prompt(
        list(prompts), device=device, do_classifier_free_guidance=False
    )
    times = torch.tensor([[*size, 0, 0, *size]], device=device, dtype=cond.dtype)
    added = {"text_embeds": pooled, "time_ids": times.expand(len(prompts), -1)}
    return Conditioning(cond, added=added)


@contextmanager
def looking(pipe: Any) -> Iterator[None]:
    """A UNet's scheduler steps aside: DDIM's scale is that of the formula, whatever it was.

    ValueError for a family whose pictures are not read.
    """
    family, scheduler = family_of(pipe), pipe.scheduler
    if family.name == "qwen":
        raise ValueError(
            f"pipe: pictures are not read by {type(pipe).__name__} yet; expected a UNet of Stable "
            "Diffusion, Stable Diffusion 3 or FLUX.1"
        )
    if predicts_flow(pipe):
        yield
        return
    carrier: Any = family.carrier
    pipe.scheduler = carrier.from_config(scheduler.config)
    try:
        yield
    finally:
        pipe.scheduler = scheduler


def _factor(pipe: Any) -> int:
    """Pixels that both sides are multiples of: two latents, a transformer's token."""
    return 2 * int(pipe.vae_scale_factor)


def _trained(pipe: Any) -> int:
    """The longer side, in pixels, that the model was trained at."""
    if sides := size_arguments(pipe):
        return max(sides.values())
    denoiser: Any = family_of(pipe).denoiser(pipe)
    side: Any = getattr(denoiser.config, "sample_size", None)
    if side is None:
        side = getattr(pipe, "default_sample_size", 64)
    return int(max(side) if isinstance(side, list | tuple) else side) * int(pipe.vae_scale_factor)
