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
    added:  further inputs of SDXL, such as text_embeds and time_ids, for [uncond; cond].
    """

    cond: Tensor
    uncond: Tensor | None = None
    added: Mapping[str, Tensor] = field(default_factory=dict)


def predict(
    pipe: Any, latents: Tensor, step: Step, conditioning: Conditioning, guidance_scale: float = 1.0
) -> Tensor:
    """The guided prediction [B, C, h, w] of a UNet pipeline for latents [B, C, h, w] at `step.t`.

        out = uncond + guidance_scale · (cond − uncond)

    It goes through the pipeline's own denoiser, so the controls of an attach act; encode the
    prompts within the block, and `step` tells them when it is.
    """
    import torch

    from ..processors.attach import attached

    run = attached(pipe)
    if run is not None:
        run.clock.place(step.index, step.count)
    context, sample = conditioning.cond, latents
    if conditioning.uncond is not None:
        context, sample = torch.cat([conditioning.uncond, context]), torch.cat([latents] * 2)
    out: Tensor = pipe.unet(
        pipe.scheduler.scale_model_input(sample, step.t),
        step.t,
        encoder_hidden_states=context,
        added_cond_kwargs=dict(conditioning.added) or None,
        return_dict=False,
    )[0]
    if conditioning.uncond is None:
        return out
    uncond, cond = out.split([len(conditioning.uncond), len(conditioning.cond)])
    return uncond + guidance_scale * (cond - uncond)
