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
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from numpy.typing import NDArray

from ..judge_net import SIZE_PX
from ..objects import PLACES, STYLE_NAMES
from ..plan import Plan
from ..render import Rendered, render
from ..sample import sample_plan
from .broken import IGNORE, dilate, label
from .judge_data import Batch
from .pictures import to_model

__all__ = ["repainted"]

_STRENGTH = (0.2, 0.48)  # below, nothing is drawn anew; above, things move
_STEPS = 4  # that are really made
_GUIDANCE = (1.0, 3.0)  # 1 leaves the empty prompt out
_AT_ONCE = 8
_LEFT = 0.5  # of what sets a thing apart from the empty place
_RIM = 4  # pixels around a thing that is not learned from


def repainted(
    pipe: StableDiffusionPipeline, count: int, *, nouns: Sequence[str], seed: tuple[int, ...]
) -> Batch:
    """`count` labelled scenes of `nouns`, repainted by `pipe`; the images as bytes, no styles."""
    rng = np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
    over = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    over.set_progress_bar_config(disable=True)
    images, classes, tints, places = [], [], [], []
    for first in range(0, count, _AT_ONCE):
        plans = [
            sample_plan(rng, nouns=nouns, held_out=None, style=None)
            for _ in range(min(_AT_ONCE, count - first))
        ]
        drawn = [render(plan, SIZE_PX) for plan in plans]
        strength = float(rng.uniform(*_STRENGTH))
        anew = over(
            prompt=[plan.caption for plan in plans],
            image=(to_model([each.image for each in drawn]) + 1) / 2,
            strength=strength,
            num_inference_steps=round(_STEPS / strength),
            guidance_scale=float(rng.choice(_GUIDANCE)),
            generator=noise,
            output_type="pt",
        ).images
        pixels = (anew * 255).round().byte()
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
            lost |= dilate(mask, _RIM)
    return lost
