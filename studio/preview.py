"""A rough picture of unfinished latents: a linear map to colours, fitted to the autoencoder.

ours: the autoencoder encodes one picture of plain patches, and least squares gives the colours c of
a latent z, c = [z, 1] W. That costs one small encoding a model and needs no table of factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Preview"]

_SIDE = 8  # patches a side: 64 colours
_LATENTS = 4  # latents a side of each patch


@dataclass(frozen=True, eq=False)
class Preview:
    """weights: [C + 1, 3], from latents and 1 to colours in [0, 1].    factor: of the sizes."""

    weights: Tensor
    factor: int

    @classmethod
    def of(cls, pipe: Any) -> Self | None:
        """None for a pipeline without an image autoencoder, or one that cannot encode."""
        vae = getattr(pipe, "vae", None)
        if vae is None or not hasattr(vae, "encode"):
            return None
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        levels = torch.linspace(0, 1, 4)
        colours = torch.cartesian_prod(levels, levels, levels)  # [64, 3]
        order = torch.arange(64) * 27 % 64  # neighbours unlike each other
        grid = colours[order].T.reshape(1, 3, _SIDE, _SIDE)
        picture = grid.repeat_interleave(_LATENTS * factor, 2).repeat_interleave(
            _LATENTS * factor, 3
        )
        with torch.no_grad():
            found = vae.encode((picture * 2 - 1).to(vae.device, vae.dtype)).latent_dist.mode()
        latents = (found.float().cpu() - (vae.config.get("shift_factor") or 0)) * float(
            vae.config.scaling_factor
        )
        if not bool(torch.isfinite(latents).all()):
            return None
        targets = grid.repeat_interleave(_LATENTS, 2).repeat_interleave(_LATENTS, 3)
        samples = _with_one(latents)
        weights = torch.linalg.lstsq(samples, targets[0].flatten(1).T, driver="gelsd").solution
        return cls(weights, factor)

    def paint(self, latents: Tensor) -> Image.Image:
        """[B, C, h, w] side by side, at the size the pictures will have."""
        height, width = latents.shape[-2:]
        colours = _with_one(latents.detach().float().cpu()) @ self.weights
        pictures = colours.view(latents.shape[0], height, width, 3).clamp(0, 1)
        strip = pictures.permute(1, 0, 2, 3).flatten(1, 2)
        small = Image.fromarray((strip * 255).round().to(torch.uint8).numpy())
        size = (small.width * self.factor, small.height * self.factor)
        return small.resize(size, Image.Resampling.BICUBIC)


def _with_one(latents: Tensor) -> Tensor:
    """[B·h·w, C + 1]."""
    flat = latents.permute(0, 2, 3, 1).flatten(0, 2)
    return torch.cat([flat, torch.ones(len(flat), 1)], 1)
