"""Portraits cut out and pasted where their subjects stand in the scene, as latents of a UNet.

ours: reposition at the level of latents (`PlacePortraits`). The subject is scaled, aspect kept, to
fit the box of its place, and centred there; around it is its portrait's mean background colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from PIL import Image
from torch import Tensor

from ..processors.controls import PlacePortraits, Subject
from ..processors.controls.subjects import held, seat
from .ground_inputs import clean_latents

__all__ = ["pasted", "placed_portraits"]


def placed_portraits(
    pipe: Any, subjects: Sequence[Subject], images: Sequence[Image.Image]
) -> tuple[tuple[Subject, ...], PlacePortraits]:
    """The subjects with their seats where they stand, and the control that makes it so.

    images: of their portraits, all as large as the scene.
    ValueError for a model that is no UNet; attention with rotary places moves keys itself.
    """
    if getattr(pipe, "unet", None) is None or not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise ValueError(
            f"method: came one that places portraits as latents, and {type(pipe).__name__} is no "
            "UNet with a table of noise levels; expected a method that repositions tokens"
        )
    size = (images[0].height, images[0].width)
    found = [
        pasted(_pixels(image), seat(subject, size), held(_there(subject), size, subject.name))
        for subject, image in zip(subjects, images, strict=True)
    ]
    with torch.no_grad():
        canvases = clean_latents(pipe, [_image(canvas) for canvas, _ in found], size)
    portraits = tuple(s.portrait for s in subjects if s.portrait is not None)
    moved = tuple(
        replace(subject, seat=mask.float())
        for subject, (_, mask) in zip(subjects, found, strict=True)
    )
    alphas = pipe.scheduler.alphas_cumprod.cpu()
    return moved, PlacePortraits(canvases.float().cpu(), portraits, alphas)


def pasted(picture: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The canvas [3, H, W] and where the subject is on it, [H, W] bool.

    picture: [3, H, W].    source, target: [H, W] bool; where one is empty nothing is pasted.
    """
    around = ~source if not bool(source.all()) else source
    canvas = picture[:, around].mean(1)[:, None, None].expand_as(picture).clone()
    mask = torch.zeros_like(source)
    if not bool(source.any()) or not bool(target.any()):
        return canvas, mask
    (top, left), (height, width) = _box(source)
    (row, column), (high, wide) = _box(target)
    scale = min(high / height, wide / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    cut = picture[:, top : top + height, left : left + width]
    part = source[top : top + height, left : left + width].to(picture)
    if size != (height, width):
        cut = F.interpolate(cut[None], size, mode="bilinear", antialias=True)[0]
        part = F.interpolate(part[None, None], size, mode="area")[0, 0]
    shape = part >= min(0.5, float(part.max()))
    row, column = row + (high - size[0]) // 2, column + (wide - size[1]) // 2
    here = (slice(row, row + size[0]), slice(column, column + size[1]))
    mask[here] = shape
    canvas[:, mask] = cut[:, shape]
    return canvas, mask


def _pixels(image: Image.Image) -> Tensor:
    """[3, H, W] in [0, 1]."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32) / 255).permute(2, 0, 1)


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def _there(subject: Subject) -> Any:
    assert not isinstance(subject.where, str)  # a scene's places are known before it is drawn
    return subject.where


def _box(mask: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """(top, left) and (height, width)."""
    rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return (top, left), (int(rows[-1]) - top + 1, int(columns[-1]) - left + 1)
