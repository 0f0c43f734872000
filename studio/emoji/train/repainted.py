"""Scenes drawn anew by an image model: its own hand, and the truth still known.

A rendered scene is encoded, noised half way and denoised again with its caption (SDEdit, Meng et
al. 2022, arXiv:2108.01073, section 3). The judge is to read pictures that a model has drawn, and
what sets those apart from rendered ones, soft edges and slips of the brush, must not look broken.
ours: in some scenes a thing is broken, or the judge would take the model's hand for the mark of a
whole thing; they are repainted with less noise and no words. A thing that the model has moved, painted over or changed is not learned from, neither
as itself nor as broken: over its mask the new picture is nearer to the scene without it, or further
from the old picture than half of what sets the two apart. Likewise a broken thing that the model
has mended: there the other picture is the one in which it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from numpy.typing import NDArray

from ..judge_net import SIZE_PX
from ..objects import CLASSES, PLACES, STYLE_NAMES
from ..plan import Plan
from ..render import Rendered, render
from ..sample import sample_plan
from .broken import IGNORE, Labelled, break_thing, dilate, label
from .judge_data import BROKEN, Batch
from .pictures import to_model

__all__ = ["repainted"]

_STRENGTH = (0.2, 0.48)  # below, nothing is drawn anew; above, things move
_BROKEN_STRENGTH = (0.12, 0.24)  # above, or with words, the model mends
_BREAKS = ("half", "chimera", "doubled", "scrambled", "warped", "blob")  # that it leaves broken
_STEPS = 4  # that are really made
_GUIDANCE = (1.0, 3.0)  # 1 leaves the empty prompt out
_AT_ONCE = 8
_BREAK = 8  # of 255; a pixel that differs more belongs to what is broken
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
        broken = rng.random() < BROKEN
        truths = [
            break_thing(plan, scene, rng, str(rng.choice(_BREAKS))) if broken else label(scene)
            for plan, scene in zip(plans, drawn, strict=True)
        ]
        strength = float(rng.uniform(*(_BROKEN_STRENGTH if broken else _STRENGTH)))
        anew = over(
            prompt=["" if broken else plan.caption for plan in plans],
            image=(to_model([each.image for each in truths]) + 1) / 2,
            strength=strength,
            num_inference_steps=round(_STEPS / strength),
            guidance_scale=1.0 if broken else float(rng.choice(_GUIDANCE)),
            generator=noise,
            output_type="pt",
        ).images
        pixels = (anew * 255).round().byte()
        images.append(pixels)
        each = zip(plans, drawn, truths, pixels.permute(0, 2, 3, 1), strict=True)
        for plan, scene, truth, picture in each:
            lost = _lost(plan, scene, truth, picture.numpy())
            classes.append(torch.from_numpy(np.where(lost, IGNORE, truth.classes)))
            tints.append(torch.from_numpy(np.where(lost, IGNORE, truth.tints)))
            places.append(PLACES.index(plan.background))
    styles = torch.full((count,), STYLE_NAMES.index(None))
    return Batch(
        torch.cat(images), torch.stack(classes), torch.stack(tints), torch.tensor(places), styles
    )


def _lost(
    plan: Plan, scene: Rendered, truth: Labelled, picture: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """The pixels, with a rim, of things that are no longer there, or no longer broken."""
    after, before = picture.astype(np.float32), truth.image.astype(np.float32)
    lost = np.zeros(picture.shape[:2], bool)
    for mask, other in _alternatives(plan, scene, truth):
        apart = np.abs(before - other)[mask].mean()
        changed, gone = np.abs(after - before)[mask].mean(), np.abs(after - other)[mask].mean()
        if changed > gone or changed > _LEFT * apart:
            lost |= dilate(mask, _RIM)
    return lost


def _alternatives(
    plan: Plan, scene: Rendered, truth: Labelled
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float32]]]:
    """The mask of each thing, and the picture without it; of a broken one, where it is whole."""
    if truth.broken is not None:
        whole = scene.image.astype(np.float32)
        broken_at = np.abs(whole - truth.image).max(-1) > _BREAK
        yield truth.broken | broken_at, whole
    for i, mask in enumerate(scene.scene.masks):
        if (truth.classes[mask] == CLASSES.index(plan.things[i].noun)).any():
            others = tuple(thing for k, thing in enumerate(plan.things) if k != i)
            empty = render(replace(plan, things=others), SIZE_PX).image
            yield mask, empty.astype(np.float32)
