"""One call of a pipeline's denoiser with guidance: what loops other than sampling are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ..processors.call import Step

__all__ = ["Conditioning", "predict"]


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the denoiser is told, as `pipe.encode_prompt` gives it.

    cond:   [B, T, C] embeddings.
    uncond: the same of the negative prompts; None = no guidance.
    added:  further inputs: text_embeds and time_ids of SDXL and pooled_projections of SD 3, for
            [uncond; cond]; what FLUX and Qwen-Image want besides, for cond.
    added_uncond: the same for uncond, where guidance has a call of its own.
    """

    cond: Tensor
    uncond: Tensor | None = None
    added: Mapping[str, Any] = field(default_factory=dict)
    added_uncond: Mapping[str, Any] = field(default_factory=dict)


def predict(
    pipe: Any, latents: Tensor, step: Step, conditioning: Conditioning, guidance_scale: float = 1.0
) -> Tensor:
    """The guided prediction for latents as the pipeline's scheduler has them, at `step.t`.

        out = uncond + guidance_scale · (cond − uncond)

    latents: [B, C, h, w], for FLUX and Qwen-Image packed, [B, h·w/4, 4·C]; so is the prediction.

    It goes through the pipeline's own denoiser, so the controls of an attach act; encode the
    prompts within the block, those of guidance after them, and `step` tells them when it is.
    """
    import torch

    from ..processors.attach import attached
    from ..processors.families import family_of

    run, family = attached(pipe), family_of(pipe)
    denoiser = family.denoiser(pipe)
    if run is not None:
        run.clock.place(step.index, step.count)
    scaled = getattr(pipe.scheduler, "scale_model_input", None)  # flows do not scale
    sample = latents if scaled is None else scaled(latents, step.t)
    t = torch.as_tensor(step.t, device=latents.device)
    told, uncond = conditioning, conditioning.uncond
    if uncond is None:
        return family.forward(denoiser, sample, t, told.cond, told.added)
    if family.apart:
        of_cond = family.forward(denoiser, sample, t, told.cond, told.added)
        of_uncond = family.forward(denoiser, sample, t, uncond, told.added_uncond)
    else:
        both = torch.cat([uncond, told.cond])
        out = family.forward(denoiser, torch.cat([sample] * 2), t, both, told.added)
        of_uncond, of_cond = out.split([len(uncond), len(told.cond)])
    return family.guided(of_cond, of_uncond, guidance_scale)
