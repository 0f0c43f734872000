"""The autoencoder of the embedded models: 128 px pictures to 32 x 32 x 8 latents and back.

A diffusers `AutoencoderKL` trained with a pixel, a chroma, an edge and a light KL term; first on
crops around things, where a step costs a quarter, then on whole pictures.
ours: afterwards the latents are brought to mean 0 and mean variance 1 by folding a linear map into
the two 1 x 1 convolutions `quant_conv` and `post_quant_conv`, so that `scaling_factor` is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ..plan import Plan
from ..render import Rendered
from ..words import NOUNS
from .loop import Budget, Trained, fit, trained_so_far
from .pictures import scenes, to_model
from .precision import autocast

__all__ = ["build_autoencoder", "normalise", "reconstruction_loss", "train_autoencoder"]

_KL_WEIGHT = 1e-4


def build_autoencoder(size: int = 128) -> AutoencoderKL:
    """An untrained autoencoder, factor 4, 8 channels, 0.66 M parameters."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        sample_size=size,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def train_autoencoder(budget: Budget, *, size: int = 128) -> tuple[AutoencoderKL, Trained]:
    """Train on scenes of all trained nouns and normalise the latents."""
    torch.manual_seed(budget.seed)
    model = build_autoencoder(size).to(budget.device)
    source = scenes((budget.seed, trained_so_far(budget).steps), NOUNS, size)

    def loss_on(part: Callable[[Plan, Rendered], np.ndarray]) -> Callable[[int], Tensor]:
        def loss_of(step: int) -> Tensor:
            images = to_model([part(*next(source)) for _ in range(budget.batch)]).to(budget.device)
            with autocast(budget.device):
                posterior = model.encode(images).latent_dist
                output = model.decode(posterior.sample()).sample
            return reconstruction_loss(output.float(), images) + _KL_WEIGHT * _kl(posterior)

        return loss_of

    half = replace(budget, minutes=budget.minutes / 2)
    crops = replace(half, decay=0.0)
    fit(model, loss_on(_crop), crops, title="autoencoder, crops")
    half = replace(half, resume=True)
    done = fit(model, loss_on(_whole), half, title="autoencoder, pictures")
    images = to_model([next(source)[1].image for _ in range(256)])
    normalise(model, images.to(budget.device))
    return model, done


def _whole(plan: Plan, rendered: Rendered) -> np.ndarray:
    return rendered.image


def _crop(plan: Plan, rendered: Rendered) -> np.ndarray:
    """A quarter of the picture around one of its things."""
    size = rendered.image.shape[0]
    left, top, right, bottom = plan.things[plan.texture % len(plan.things)].box
    x, y = (
        min(max(round((low + high) / 2 * size - size / 4), 0), size - size // 2)
        for low, high in ((left, right), (top, bottom))
    )
    return rendered.image[y : y + size // 2, x : x + size // 2]


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 + squared error on pixels, L1 on chroma and on neighbouring pixels' differences.

    ours: chroma has a term of its own since tints are rare and would be learned last; the
    differences keep edges sharp.
    """
    error = output - target
    chroma = error - error.mean(1, keepdim=True)
    edges = error.diff(dim=-2).abs().mean() + error.diff(dim=-1).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 2 * chroma.abs().mean() + 0.5 * edges


def _kl(posterior: object) -> Tensor:
    mean, logvar = posterior.mean.float(), posterior.logvar.float()  # type: ignore[attr-defined]
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


@torch.no_grad()
def normalise(model: AutoencoderKL, images: Tensor) -> None:
    """Fold `z -> P (z - mean)` into `quant_conv` and its inverse into `post_quant_conv`.

    With the covariance V diag(l) V' of the latents over `images` `[B, 3, H, W]`, P is
    c V diag(l^-1/4) V': variances become their square roots, on average 1. The few directions that
    carry the picture stay larger than the many that carry texture, so the noise schedule removes
    texture first; with all variances at 1 a run had not learned its places after 34,000 pictures.
    """
    modes = [model.encode(part).latent_dist.mode() for part in images.split(16)]
    flat = torch.cat(modes).double().movedim(1, -1).flatten(0, -2)
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    gain = values.clamp_min(1e-9) ** -0.25
    gain = gain / (values * gain.square()).mean().sqrt()
    project = vectors @ torch.diag(gain) @ vectors.T
    undo = vectors @ torch.diag(1 / gain) @ vectors.T
    channels = len(mean)
    quant, post = model.quant_conv, model.post_quant_conv
    weight, bias = quant.weight.double().flatten(1), quant.bias.double()
    quant.weight[:channels] = (project @ weight[:channels]).float()[..., None, None]
    quant.bias[:channels] = (project @ (bias[:channels] - mean)).float()
    # The posterior's spread in the new units, the same for every channel.
    quant.bias[channels:] += 2 * gain.log().mean().float()
    before = post.weight.double().flatten(1)
    post.bias.copy_((post.bias.double() + before @ mean).float())
    post.weight.copy_((before @ undo).float()[..., None, None])
