"""The autoencoder of the embedded models: 128 px pictures to 32 x 32 x 8 latents and back.

A diffusers `AutoencoderKL` trained with L1 + L1 of the picture's differences + a light KL term.
ours: afterwards the latents are whitened (mean 0, covariance 1 over emoji world) by folding the
linear map into the two 1 x 1 convolutions `quant_conv` and `post_quant_conv`, so that
`scaling_factor` is 1 and every channel carries the same share of the noise schedule.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from ..words import NOUNS
from .loop import Budget, Trained, fit, trained_so_far
from .pictures import scenes, to_model

__all__ = ["build_autoencoder", "train_autoencoder"]

_KL_WEIGHT = 1e-3
_EDGE_WEIGHT = 1.0


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
    """Train on scenes of all trained nouns and whiten the latents."""
    torch.manual_seed(budget.seed)
    model = build_autoencoder(size).to(budget.device)
    source = scenes((budget.seed, trained_so_far(budget).steps), NOUNS, size)

    def loss_of(step: int) -> Tensor:
        images = to_model([next(source)[1].image for _ in range(budget.batch)]).to(budget.device)
        with torch.autocast(budget.device, torch.bfloat16):
            posterior = model.encode(images).latent_dist
            output = model.decode(posterior.sample()).sample
        return reconstruction_loss(output.float(), images) + _KL_WEIGHT * _kl(posterior)

    done = fit(model, loss_of, budget, title="autoencoder")
    _whiten(model, torch.cat([to_model([next(source)[1].image]) for _ in range(256)]), budget.device)
    return model, done


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 on pixels plus L1 on horizontal and vertical differences, which keeps edges sharp."""
    down = (output.diff(dim=-2) - target.diff(dim=-2)).abs().mean()
    across = (output.diff(dim=-1) - target.diff(dim=-1)).abs().mean()
    return F.l1_loss(output, target) + _EDGE_WEIGHT * (down + across)


def _kl(posterior: object) -> Tensor:
    mean, logvar = posterior.mean.float(), posterior.logvar.float()  # type: ignore[attr-defined]
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


@torch.no_grad()
def _whiten(model: AutoencoderKL, images: Tensor, device: str) -> None:
    """Fold `z -> W (z - mean)` into the encoder's last and its inverse into the decoder's first layer."""
    modes = [model.encode(part.to(device)).latent_dist.mode() for part in images.split(16)]
    flat = torch.cat(modes).double().movedim(1, -1).flatten(0, -2)
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    whiten = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    colour = vectors @ torch.diag(values.sqrt()) @ vectors.T
    channels = len(mean)
    quant, post = model.quant_conv, model.post_quant_conv
    weight, bias = quant.weight.double().flatten(1), quant.bias.double()
    quant.weight[:channels] = (whiten @ weight[:channels]).float()[..., None, None]
    quant.bias[:channels] = (whiten @ (bias[:channels] - mean)).float()
    # The posterior's spread in the new units, on the diagonal.
    quant.bias[channels:] += values.clamp_min(1e-12).log().neg().mean().float()
    before = post.weight.double().flatten(1)
    post.bias.copy_((post.bias.double() + before @ mean).float())
    post.weight.copy_((before @ colour).float()[..., None, None])
