"""What the denoisers of flow-matching pipelines are told: prompts, guidance, places of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from ..processors.call import Grid
from ..processors.families import family_of
from .predict import Conditioning

__all__ = ["condition", "flow_sigmas", "predicts_flow"]


def predicts_flow(pipe: Any) -> bool:
    """Whether the pipeline's model was trained on straight ways from pictures to noise."""
    return family_of(pipe).carrier is FlowMatchEulerDiscreteScheduler


def condition(
    pipe: Any,
    prompts: Sequence[str],
    negative: Sequence[str] | None,
    size: Grid,
    *,
    embedded_guidance: float | None = None,
    max_sequence_length: int | None = None,
) -> Conditioning:
    """For pictures whose latents are (height, width) = `size`, one a prompt.

    negative: one a prompt; None = no guidance.
    embedded_guidance: what a distilled FLUX reads as its guidance; None where it reads none.
    max_sequence_length: of `encode_prompt`; None = its default.
    """
    family = family_of(pipe).name
    length = {} if max_sequence_length is None else {"max_sequence_length": max_sequence_length}
    if family == "sd3":
        cond, uncond, pooled, unpooled = pipe.encode_prompt(
            list(prompts),
            None,
            None,
            do_classifier_free_guidance=negative is not None,
            negative_prompt=None if negative is None else list(negative),
            **length,
        )
        if negative is None:
            return Conditioning(cond, added={"pooled_projections": pooled})
        both = torch.cat([unpooled, pooled])
        return Conditioning(cond, uncond, {"pooled_projections": both})
    if not predicts_flow(pipe):
        raise ValueError(
            f"pipe: {type(pipe).__name__} predicts no flow; expected Stable Diffusion 3, FLUX.1 or "
            "Qwen-Image"
        )

    def told(texts: Sequence[str]) -> tuple[Tensor, dict[str, Any]]:
        if family == "qwen":
            embeds, mask = pipe.encode_prompt(list(texts), **length)
            shapes = [[(1, size[0] // 2, size[1] // 2)]] * len(texts)
            return embeds, {"encoder_hidden_states_mask": mask, "img_shapes": shapes}
        embeds, pooled, text_ids = pipe.encode_prompt(list(texts), None, **length)
        places = pipe._prepare_latent_image_ids(
            len(texts), size[0] // 2, size[1] // 2, embeds.device, embeds.dtype
        )
        added = {"pooled_projections": pooled, "txt_ids": text_ids, "img_ids": places}
        if pipe.transformer.config.guidance_embeds:
            scale = 1.0 if embedded_guidance is None else embedded_guidance
            added["guidance"] = torch.full([len(texts)], scale, device=embeds.device)
        return embeds, added

    cond, added = told(prompts)
    if negative is None:
        return Conditioning(cond, added=added)
    uncond, added_uncond = told(negative)
    return Conditioning(cond, uncond, added, added_uncond)


def flow_sigmas(pipe: Any, steps: int, size: Grid) -> tuple[Tensor, Tensor]:
    """Sets the scheduler as the pipeline's call does; its timesteps [S] and sigmas [S + 1]."""
    config, apart = pipe.scheduler.config, family_of(pipe).apart
    given: dict[str, Any] = {}
    if config.get("use_dynamic_shifting"):
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        tokens = size[0] * size[1] // 4
        lengths = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        shifts = config.get("base_shift", 0.5), config.get("max_shift", 1.15 if apart else 1.16)
        given["mu"] = calculate_shift(tokens, *lengths, *shifts)
    if apart and not config.get("use_flow_sigmas"):
        given["sigmas"] = torch.linspace(1.0, 1 / steps, steps, dtype=torch.float64).tolist()
    else:
        given["num_inference_steps"] = steps
    pipe.scheduler.set_timesteps(device=pipe._execution_device, **given)
    return pipe.scheduler.timesteps, pipe.scheduler.sigmas
