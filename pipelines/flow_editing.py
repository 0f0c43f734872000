"""FlowEdit: a picture is led from one prompt to another without being inverted.

Kulikov et al. 2024 (arXiv:2412.08629), algorithm 1. With x the source's latents, σ_i falling, v the
guided velocity (from data to noise) and Z = x at first, for the last `changed` of S steps:

    s = (1 − σ_i) x + σ_i n          n: noise, drawn anew
    u = s + (Z − x)
    Z ← Z + (σ_{i+1} − σ_i) · mean over draws of [v(u, target) − v(s, source)]

and for the last `sampled` of them u, once made, is sampled as usual. No attention is edited: this
is the baseline that edits by attention are held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["flow_edit"]


def flow_edit(
    pipe: Any,
    latents: Tensor,
    source: str,
    target: str,
    *,
    size: tuple[int, int],
    seed: int = 0,
    negative: str = "",
    steps: int = 28,
    changed: int = 24,
    sampled: int = 0,
    source_guidance: float = 1.5,
    target_guidance: float = 5.5,
    draws: int = 1,
    max_sequence_length: int | None = None,
) -> Tensor:
    """The latents of the edit, from those of the source picture, as `output_type="latent"` gives.

    latents: [B, C, h, w], for FLUX and Qwen-Image packed.    size: (h, w) of the latents.
    seed:    of the noise, which is drawn on the CPU and the same for every row.
    changed, sampled: steps, counted from the end; the authors' defaults are those of FLUX here, for
             SD 3: steps 50, changed 33, guidance 3.5 and 13.5.
    source_guidance, target_guidance: read by a distilled FLUX as embedded guidance, elsewhere the
             scale of guidance by the negative prompt; 1 = none.
    draws:   noises that a step's direction is the mean of.
    max_sequence_length: text tokens, as in the pipeline's call; None = its default.

    ValueError for steps that do not fit, and for a pipeline that predicts no flow.
    """
    import torch

    from ..processors.call import Step
    from .flow_conditioning import condition, flow_sigmas
    from .predict import predict

    if not 0 <= sampled <= changed <= steps or steps < 1 or draws < 1:
        raise ValueError(
            f"steps, changed, sampled, draws: came {steps}, {changed}, {sampled}, {draws}; "
            "expected 0 <= sampled <= changed <= steps and at least one step and draw"
        )
    draw, rows = torch.Generator().manual_seed(seed), len(latents)
    distilled = bool(getattr(pipe.transformer.config, "guidance_embeds", False))

    with torch.no_grad():
        told = {}
        for text, scale in ((source, source_guidance), (target, target_guidance)):
            guides = scale != 1 and not distilled
            told[text, scale] = condition(
                pipe,
                [text] * rows,
                [negative] * rows if guides else None,
                size,
                embedded_guidance=scale if distilled else None,
                max_sequence_length=max_sequence_length,
            )
        timesteps, sigmas = flow_sigmas(pipe, steps, size)

        def velocity(at: Tensor, text: str, scale: float, step: Step) -> Tensor:
            return predict(pipe, at, step, told[text, scale], scale).to(latents.dtype)

        def noised(sigma: Tensor) -> Tensor:
            noise = torch.randn(latents.shape[1:], generator=draw, dtype=torch.float32)
            return (1 - sigma) * latents + sigma * noise.to(latents)

        moved, sampling = latents, None
        for i in range(steps - changed, steps):
            step = Step(i, i, steps, timesteps[i])
            sigma, change = sigmas[i].to(latents), (sigmas[i + 1] - sigmas[i]).to(latents)
            if steps - i <= sampled:
                if sampling is None:
                    sampling = noised(sigma) + (moved - latents)
                sampling = sampling + change * velocity(sampling, target, target_guidance, step)
                continue
            directions = []
            for _ in range(draws):
                start = noised(sigma)
                led = velocity(start + (moved - latents), target, target_guidance, step)
                directions.append(led - velocity(start, source, source_guidance, step))
            moved = moved + change * torch.stack(directions).mean(0)
        return moved if sampling is None else sampling
