"""Families of models: each translates its attention modules into the engine's call."""

from __future__ import annotations

from typing import Any

from .family import Encoded, Family, Keeps, Live

__all__ = ["Encoded", "Family", "Keeps", "Live", "family_of"]


def family_of(pipe: Any) -> Family:
    """The family that knows the pipeline's denoiser; ValueError when none does."""
    from .flux import FLUX
    from .qwen import QWEN
    from .sd3 import SD3
    from .unet import UNET

    families: tuple[Family, ...] = (UNET, SD3, FLUX, QWEN)
    for family in families:
        if family.denoiser(pipe) is not None:
            return family
    raise ValueError(
        f"pipe: {type(pipe).__name__} has no denoiser that can be steered; expected a pipeline "
        "with a UNet2DConditionModel as `unet`, or with a transformer of Stable Diffusion 3, "
        "FLUX.1 or Qwen-Image (neither FLUX.2, nor a whole compiled model)"
    )
