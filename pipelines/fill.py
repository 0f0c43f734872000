"""An inpainting pipeline kept as what it adds to a FLUX pipeline: a few megabytes beside it.

FLUX.1 Fill gives the denoiser, beside the noisy latents, the latents of the picture without what is
to be filled, and the mask. Its folder holds the configs of diffusers' `FluxFillPipeline` and
`difference.safetensors`: the weight that takes the wider input, whole, and of every other layer
that was trained low-rank factors, by PEFT's names (W' = W + B A, Hu et al. 2021, arXiv:2106.09685).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import FluxFillPipeline, FluxPipeline, FluxTransformer2DModel

__all__ = [
    "DIFFERENCE",
    "base_of",
    "fill_channels",
    "fill_pipeline",
    "load_fill",
    "widened",
]

DIFFERENCE = "difference.safetensors"
"""The file of a folder that says it is one of these."""
WIDE = "x_embedder.weight"
_SHARED = ("vae", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def fill_channels(latent_channels: int, vae_factor: int) -> int:
    """Of a packed token: noisy latents, masked latents and the mask's pixels, 2 x 2 of each."""
    return 4 * (2 * latent_channels + vae_factor**2)


def widened(transformer: FluxTransformer2DModel, channels: int) -> FluxTransformer2DModel:
    """The same network with more input channels, which count for nothing yet."""
    import torch

    config = dict(transformer.config)
    known = int(config["in_channels"])
    if channels < known:
        raise ValueError(f"channels: got {channels}, expected at least the {known} it has")
    config |= {"in_channels": channels, "out_channels": config["out_channels"] or known}
    wide = type(transformer).from_config(config)
    weights = dict(transformer.state_dict())
    new = torch.zeros_like(wide.state_dict()[WIDE])
    new[:, :known] = weights[WIDE]
    wide.load_state_dict({**weights, WIDE: new})
    return wide if wide.dtype == transformer.dtype else wide.to(transformer.dtype)


def fill_pipeline(base: FluxPipeline) -> FluxFillPipeline:
    """Diffusers' pipeline around the parts of `base`; its denoiser is yet to learn the mask."""
    from diffusers import FluxFillPipeline

    parts: dict[str, Any] = {name: base.components[name] for name in _SHARED}
    channels = fill_channels(base.vae.config.latent_channels, base.vae_scale_factor)
    return FluxFillPipeline(transformer=widened(base.transformer, channels), **parts)


def load_fill(folder: Path, base: Any) -> FluxFillPipeline:
    """The pipeline in `folder` around the parts of `base`, which keeps its own denoiser.

    ValueError for a difference to another model.
    """
    import torch
    from diffusers import FluxPipeline
    from safetensors.torch import load_file

    if not isinstance(base, FluxPipeline):
        raise ValueError(f"model: {folder} is a difference to a FLUX pipeline, not to {base!r}")
    tensors = load_file(folder / DIFFERENCE)
    pipe = fill_pipeline(base)
    pipe.transformer.to(base.device)
    pipe.set_progress_bar_config(disable=True)
    weights = pipe.transformer.state_dict()
    try:
        with torch.no_grad():
            weights[WIDE].copy_(tensors.pop(WIDE))
            for name in [name for name in tensors if name.endswith(DOWN)]:
                down, up = tensors.pop(name), tensors.pop(name.removesuffix(DOWN) + UP)
                weight = weights[name.removesuffix(DOWN) + ".weight"]
                weight += up.to(weight) @ down.to(weight)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"model: {folder / DIFFERENCE} does not fit its base: {error}") from error
    if tensors:
        raise ValueError(f"model: {folder / DIFFERENCE} has no layer for {min(tensors)}")
    return pipe


def base_of(folder: Path) -> Path | str:
    """The pipeline that the difference in `folder` is to: a folder, or an embedded model's name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / DIFFERENCE, "pt") as file:
            base = (file.metadata() or {}).get("base")
    except SafetensorError as error:
        raise ValueError(f"model: {folder / DIFFERENCE} does not load: {error}") from error
    if not base:
        raise ValueError(f"model: {folder / DIFFERENCE} does not say what it is a difference to")
    return folder.parent / base if (folder.parent / base).is_dir() else base
