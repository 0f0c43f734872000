"""Scenes drawn anew by an image model: its own hand, and the truth still known.

A rendered scene is encoded, noised half way and denoised again with its caption (SDEdit, Meng et
al. 2022, arXiv:2108.01073, section 3). The judge is to read pictures that a model has drawn, and
what sets those apart from rendered ones, soft edges and slips of the brush, must not look broken.
ours: a thing that the model has moved, painted over or changed is not learned from, neither as
itself nor as broken: over its mask the new picture is nearer to the scene without it, or further
from the old picture than half of what sets the two apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from ..judge_net import SIZE_PX
from ..objects import PLACES, STYLE_NAMES
from ..plan import Plan
from ..render import Rendered, render
from ..sample import sample_plan
from .broken import IGNORE, label
from .judge_data import Batch
from .pictures import to_model

__all__ = ["repaint", "repainted"]

_TIMESTEPS = (200, 480)  # of 1000: below, nothing is drawn anew; above, things move
_STEPS = 4
_GUIDANCE = (1.0, 3.0)
_AT_ONCE = 8
_LEFT = 0.5  # of what sets a thing apart from the empty place
_RIM = 4  # pixels around a thing that is not learned from


def repainted(
    pipe: StableDiffusionPipeline, count: int, *, nouns: Sequence[str], seed: tuple[int, ...]
) -> Batch:
    """`count` labelled scenes of `nouns`, repainted by `pipe`; the images as bytes, no styles."""
    rng = np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    images, classes, tints, places = [], [], [], []
    for first in range(0, count, _AT_ONCE):
        plans = [
            sample_plan(rng, nouns=nouns, held_out=None, style=None)
            for _ in range(min(_AT_ONCE, count - first))
        ]
        drawn = [render(plan, SIZE_PX) for plan in plans]
        strength, guidance = int(rng.integers(*_TIMESTEPS)), float(rng.choice(_GUIDANCE))
        anew = repaint(
            pipe,
            to_model([each.image for each in drawn]),
            [plan.caption for plan in plans],
            timestep=strength,
            guidance=guidance,
            rng=noise,
        )
        pixels = ((anew + 1) * 127.5).round().byte()
        images.append(pixels)
        for plan, scene, picture in zip(plans, drawn, pixels.permute(0, 2, 3, 1), strict=True):
            truth = label(scene)
            lost = _lost(plan, scene, picture.numpy())
            classes.append(torch.from_numpy(np.where(lost, IGNORE, truth.classes)))
            tints.append(torch.from_numpy(np.where(lost, IGNORE, truth.tints)))
            places.append(PLACES.index(plan.background))
    styles = torch.full((count,), STYLE_NAMES.index(None))
    return Batch(
        torch.cat(images), torch.stack(classes), torch.stack(tints), torch.tensor(places), styles
    )


@torch.inference_mode()
def repaint(
    pipe: StableDiffusionPipeline,
    images: Tensor,
    captions: Sequence[str],
    *,
    timestep: int,
    guidance: float,
    rng: torch.Generator,
) -> Tensor:
    """`images [B, 3, H, W]` in [-1, 1], noised to `timestep` and denoised in a few DDIM steps.

    guidance: 1 leaves the empty prompt out.
    """
    scheduler, scale = pipe.scheduler, pipe.vae.config.scaling_factor
    guided = guidance > 1
    states, empty = pipe.encode_prompt(
        list(captions), device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=guided
    )
    context = torch.cat([empty, states]) if guided else states
    clean = pipe.vae.encode(images).latent_dist.mode() * scale
    times = torch.linspace(timestep, 0, _STEPS + 1).round().long()
    kept = scheduler.alphas_cumprod[times].sqrt()
    kept[-1] = 1.0
    added = (1 - kept.square()).sqrt()
    latents = kept[0] * clean + added[0] * torch.randn(clean.shape, generator=rng)
    for i in range(_STEPS):
        seen = pipe.unet(
            torch.cat([latents] * (2 if guided else 1)), times[i], encoder_hidden_states=context
        ).sample
        if guided:
            without, with_prompt = seen.chunk(2)
            seen = without + guidance * (with_prompt - without)
        if scheduler.config.prediction_type == "v_prediction":
            start = kept[i] * latents - added[i] * seen
            seen = kept[i] * seen + added[i] * latents
        else:
            start = (latents - added[i] * seen) / kept[i]
        latents = kept[i + 1] * start + added[i + 1] * seen
    decoded: Tensor = pipe.vae.decode(latents / scale).sample.clamp(-1, 1)
    return decoded


def _lost(plan: Plan, scene: Rendered, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels, with a rim, of things that are no longer there in `picture`."""
    lost = np.zeros(picture.shape[:2], bool)
    after, before = picture.astype(np.float32), scene.image.astype(np.float32)
    for i, mask in enumerate(scene.scene.masks):
        others = tuple(thing for k, thing in enumerate(plan.things) if k != i)
        empty = render(replace(plan, things=others), SIZE_PX).image.astype(np.float32)
        apart = np.abs(before - empty)[mask].mean()
        changed, gone = np.abs(after - before)[mask].mean(), np.abs(after - empty)[mask].mean()
        if changed > gone or changed > _LEFT * apart:
            lost |= _widened(mask)
    return lost


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    side = 2 * _RIM + 1
    pixels = torch.from_numpy(mask)[None].float()
    wide: NDArray[np.bool_] = torch.nn.functional.max_pool2d(pixels, side, 1, _RIM)[0].numpy() > 0
    return wide
