"""The judge's training pictures: a rolling store of labelled scenes, whole and broken, distorted.

ours: distortions that leave a thing what it is (slight blur, noise, light, contrast, JPEG, a
slight turn, shift, zoom or bend, and the way through the autoencoder with noise on its latents)
keep the label; the breaks of `broken` change it to "reject".
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from ..judge_net import SIZE_PX
from ..objects import PLACES, REJECT, STYLE_NAMES
from ..plan import Plan
from ..render import render
from ..sample import sample_plan
from ..words import HELD_OUT_NOUNS, NOUNS, STYLES
from .broken import IGNORE, Labelled, break_thing, label
from .pictures import to_model
from .precision import autocast

__all__ = [
    "ALL_NOUNS",
    "BROKEN",
    "Batch",
    "Pool",
    "crop",
    "distort",
    "draw_rows",
    "through_autoencoder",
]

ALL_NOUNS = (*NOUNS, *HELD_OUT_NOUNS)
_CROP_PX = 64
_STYLED = 0.25
_EMPTY = 0.03  # places without any thing
BROKEN = 0.35
_ENCODED = 0.6  # the part that goes through the autoencoder
_LATENT_NOISE = 0.35  # up to this a thing still counts
_RUINED_NOISE = (1.0, 1.8)  # here it no longer does


@dataclass(frozen=True, eq=False)
class Batch:
    """Images `[B, 3, 128, 128]`, classes and tints `[B, 128, 128]`, places and styles `[B]`."""

    images: Tensor
    classes: Tensor
    tints: Tensor
    places: Tensor
    styles: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """One after the other."""
        return cls(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))

    def to(self, device: str) -> Batch:
        return Batch(*(value.to(device) for value in vars(self).values()))

    def at(self, rows: Tensor) -> Batch:
        return Batch(*(value[rows] for value in vars(self).values()))


class Pool:
    """A rolling store of labelled scenes; each batch replaces a few of them.

    broken: the part of new scenes in which a thing is broken.
    """

    def __init__(
        self,
        vae: AutoencoderKL | None,
        seed: tuple[int, ...],
        size: int,
        *,
        reuse: int = 3,
        broken: float = BROKEN,
    ) -> None:
        self.vae, self.reuse, self.broken = vae, reuse, broken
        self.device = "cpu" if vae is None else next(vae.parameters()).device.type
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(int(self.rng.integers(2**31)))
        self.oldest = 0
        self.store = Batch.joined([self._draw(min(32, size - i)) for i in range(0, size, 32)])

    def batch(self, count: int) -> Batch:
        """`count` scenes of the store, distorted anew."""
        fresh = self._draw(max(count // self.reuse, 1))
        where = (self.oldest + torch.arange(len(fresh.images))) % len(self.store.images)
        for name, value in vars(fresh).items():
            getattr(self.store, name)[where] = value
        self.oldest = int(where[-1]) + 1
        return draw_rows(self.store, count, self.rng)

    def _draw(self, count: int) -> Batch:
        """New scenes; the images as bytes."""
        drawn = [_scene(self.rng, self.broken, self.vae is not None) for _ in range(count)]
        plans, labelled, ruined = zip(*drawn, strict=True)
        images = to_model([item.image for item in labelled])
        chosen = [i for i in range(count) if ruined[i] or self.rng.random() < _ENCODED]
        if self.vae is not None and chosen:
            noise = torch.zeros(len(chosen), 1, 32, 32)
            for row, i in enumerate(chosen):
                if ruined[i]:
                    noise[row, 0] = self.rng.uniform(*_RUINED_NOISE) * _latent_mask(labelled[i])
                elif self.rng.random() < 0.6:
                    noise[row, 0] = self.rng.uniform(0, _LATENT_NOISE)
            with autocast(self.device):
                decoded = through_autoencoder(self.vae, images[chosen], noise, self.torch_rng)
            images[chosen] = decoded
        return Batch(
            ((images + 1) * 127.5).round().clamp(0, 255).byte(),
            torch.from_numpy(np.stack([item.classes for item in labelled])),
            torch.from_numpy(np.stack([item.tints for item in labelled])),
            torch.tensor([PLACES.index(plan.background) for plan in plans]),
            torch.tensor([STYLE_NAMES.index(plan.style) for plan in plans]),
        )


def _scene(rng: np.random.Generator, broken: float, encoder: bool) -> tuple[Plan, Labelled, bool]:
    """A plan, its labelled picture, and whether its latents are still to be ruined."""
    style = str(rng.choice(STYLES)) if rng.random() < _STYLED else None
    plan = sample_plan(rng, nouns=ALL_NOUNS, held_out=None, style=style)
    if rng.random() < _EMPTY:
        plan = replace(plan, things=())
    rendered = render(plan, SIZE_PX)
    if not plan.things or rng.random() >= broken:
        return plan, label(rendered), False
    if encoder and rng.random() < 1 / 9:
        mask = rendered.scene.masks[int(rng.integers(len(plan.things)))]
        truth = label(rendered)
        classes, tints = truth.classes.copy(), truth.tints.copy()
        classes[mask], tints[mask] = REJECT, IGNORE
        return plan, Labelled(rendered.image, classes, tints, mask), True
    return plan, break_thing(plan, rendered, rng), False


def _latent_mask(item: Labelled) -> Tensor:
    """Where latents `[32, 32]` belong to the broken thing."""
    if item.broken is None:
        raise ValueError("item: got a whole picture, expected one with a broken thing")
    mask = torch.from_numpy(item.broken).float()[None, None]
    return F.max_pool2d(mask, 4)[0, 0]


@torch.no_grad()
def through_autoencoder(
    vae: AutoencoderKL,
    images: Tensor,
    noise: Tensor | float = 0.0,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Encode and decode images in [-1, 1]; in between Gaussian `noise`: a std, also per latent."""
    device = next(vae.parameters()).device
    decoded = []
    noise = torch.as_tensor(noise).expand(len(images), 1, 32, 32)
    for part, std in zip(images.split(16), noise.split(16), strict=True):
        latents = vae.encode(part.to(device)).latent_dist.mode()
        latents = latents + torch.randn(latents.shape, generator=rng).to(device) * std.to(device)
        decoded.append(vae.decode(latents).sample.clamp(-1, 1).float().cpu())
    return torch.cat(decoded)


def draw_rows(store: Batch, count: int, rng: np.random.Generator) -> Batch:
    """`count` of a store's rows, whose images are bytes, distorted anew."""
    rows = store.at(torch.from_numpy(rng.integers(len(store.images), size=count)))
    return distort(replace(rows, images=rows.images.float() / 127.5 - 1), rng)


def distort(batch: Batch, rng: np.random.Generator) -> Batch:
    """What changes the picture and not what it shows."""
    images, classes, tints = batch.images.clone(), batch.classes.clone(), batch.tints.clone()
    bent = torch.from_numpy(np.flatnonzero(rng.random(len(images)) < 0.5))
    if len(bent):
        grid = torch.cat([_bend(rng) for _ in bent])
        images[bent] = F.grid_sample(
            images[bent], grid, padding_mode="reflection", align_corners=False
        )
        maps = torch.stack([classes[bent], tints[bent]], 1).float()
        maps = F.grid_sample(
            maps, grid, mode="nearest", padding_mode="reflection", align_corners=False
        ).byte()
        classes[bent], tints[bent] = maps[:, 0], maps[:, 1]
    for i in range(len(images)):
        images[i] = _shade(images[i], rng)
    return replace(batch, images=images, classes=classes, tints=tints)


def crop(batch: Batch, rng: np.random.Generator) -> Batch:
    """A window of 64 x 64 pixels of each picture, around one of its things.

    A larger thing is scaled down to fit; other things that the window cuts are not learned from.
    """
    theta = torch.zeros(len(batch.images), 2, 3)
    cut = batch.classes.clone()
    for i, classes in enumerate(batch.classes.numpy()):
        things = [c for c in np.unique(classes) if c not in (0, REJECT, IGNORE)]
        spot = classes == rng.choice(things) if things else np.ones_like(classes, bool)
        rows, columns = np.flatnonzero(spot.any(1)), np.flatnonzero(spot.any(0))
        extent = float(max(np.ptp(rows), np.ptp(columns))) + 4
        side = min(max(float(_CROP_PX), 1.1 * extent), float(SIZE_PX))
        free = max(side - extent, 0.0) / 2
        x, y = (
            np.clip(
                (at[0] + at[-1] + 1) / 2 + rng.uniform(-free, free), side / 2, SIZE_PX - side / 2
            )
            for at in (columns, rows)
        )
        window = [[side, 0, 2 * x - SIZE_PX], [0, side, 2 * y - SIZE_PX]]
        theta[i] = torch.tensor(window) / SIZE_PX
        left, top = int(x - side / 2), int(y - side / 2)
        inside = np.zeros_like(spot)
        inside[top : round(top + side), left : round(left + side)] = True
        for thing in things:
            if ((classes == thing) & ~inside).any():
                cut[i][torch.from_numpy(classes == thing)] = IGNORE
    grid = F.affine_grid(theta, [len(theta), 1, _CROP_PX, _CROP_PX], align_corners=False)
    images = F.grid_sample(batch.images, grid, padding_mode="reflection", align_corners=False)
    maps = torch.stack([cut, batch.tints], 1).float()
    maps = F.grid_sample(maps, grid, mode="nearest", align_corners=False).byte()
    return replace(batch, images=images, classes=maps[:, 0], tints=maps[:, 1])


def _bend(rng: np.random.Generator) -> Tensor:
    """A sampling grid `[1, 128, 128, 2]`: turned up to 8°, shifted, zoomed, slightly bent."""
    angle, zoom = np.radians(rng.uniform(-8, 8)), rng.uniform(0.88, 1.12)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    shift = rng.uniform(-0.05, 0.05, 2)
    theta = torch.tensor([[[cos, -sin, shift[0]], [sin, cos, shift[1]]]], dtype=torch.float32)
    grid = F.affine_grid(theta, [1, 1, SIZE_PX, SIZE_PX], align_corners=False)
    knots = torch.from_numpy(rng.normal(0, rng.uniform(0, 0.012), (1, 2, 6, 6)).astype(np.float32))
    field = F.interpolate(knots, size=(SIZE_PX, SIZE_PX), mode="bicubic", align_corners=False)
    return grid + field.permute(0, 2, 3, 1)


def _shade(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Slight changes of light, contrast, tone; blur, noise, JPEG."""
    if rng.random() < 0.5:
        contrast, light = rng.uniform(0.85, 1.15), rng.uniform(-0.1, 0.1)
        tone = torch.from_numpy(rng.normal(0, 0.02, (3, 1, 1)).astype(np.float32))
        image = image * contrast + light + tone
    if rng.random() < 0.3:
        image = _soften(image, rng.uniform(0.3, 0.9))
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + torch.from_numpy(noise) * rng.uniform(0, 0.08)
    image = image.clamp(-1, 1)
    return _jpeg(image, int(rng.integers(40, 90))) if rng.random() < 0.15 else image


def _soften(image: Tensor, sigma: float) -> Tensor:
    x = torch.arange(-2, 3, dtype=torch.float32)
    kernel = torch.exp(-x.square() / (2 * sigma * sigma))
    kernel /= kernel.sum()
    rows = F.conv2d(F.pad(image[:, None], (2, 2, 2, 2), mode="replicate"), kernel.view(1, 1, 5, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, 5))[:, 0]


def _jpeg(image: Tensor, quality: int) -> Tensor:
    pixels = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        return to_model([np.asarray(opened)])[0]
