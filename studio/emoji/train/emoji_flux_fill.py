"""`emoji-flux-fill`: `emoji-flux` that fills a hole in a picture, as FLUX.1 Fill does.

The denoiser sees the noisy latents, the latents of the picture with the hole in grey and the mask,
and learns the same velocity. Of its layers only low-rank changes are trained, and the whole weight
that takes the input, so that the model is kept as its difference to `emoji-flux`.
ours: rank 32; holes are a thing's surroundings, any box, or everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxFillPipeline, FluxPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from ...distill.low_rank import add_low_rank
from ...pipelines.fill import fill_pipeline
from ..plan import Box
from .emoji_flux import Denoiser, both_token_ids, draw_times, encoded, pack
from .graphed import graphed
from .loop import Budget, Trained, fit
from .pictures import Captioned, as_input, scenes
from .pool import Pool
from .save import save_fill

__all__ = ["holed", "train_emoji_flux_fill"]

_RANK = 32
_AROUND, _ANY = 0.65, 0.95  # of the holes lie around a thing; up to here anywhere; else everywhere
_KEPT = 2**16  # pictures in memory where workers draw; each takes four times an ordinary one's


class _Holed(Pool):
    """Latents, those of the picture with its hole in grey, and the mask: [B, 2 C + f f, h, w]."""

    large = _KEPT

    def encode(self, images: Tensor) -> Tensor:
        mask = (images[..., 3:] > 0).permute(0, 3, 1, 2).float()
        pictures = as_input(images[..., :3])
        latents = self.latents_of(torch.cat([pictures, pictures * (1 - mask)]))
        whole, holed = latents.chunk(2)
        factor = mask.shape[-1] // latents.shape[-1]
        pixels = nn.functional.pixel_unshuffle(mask, factor).to(latents)
        return torch.cat([whole, holed, pixels], 1)


def train_emoji_flux_fill(
    budget: Budget,
    base: FluxPipeline,
    folder: Path,
    *,
    nouns: Sequence[str],
    base_folder: str,
    compile: bool = False,
) -> Trained:
    """Train on what `base` knows and write the difference to it into `folder`.

    base_folder: what the difference is said to be to, as for `save_fill`.
    """
    torch.manual_seed(budget.seed)
    pipe = fill_pipeline(base)
    vae = base.vae

    def source(seed: tuple[int, ...]) -> Iterator[Captioned]:
        return holed(seed, nouns, vae.config.sample_size)

    pool = _Holed(vae, partial(both_token_ids, pipe), source, budget)
    for part in (vae, pipe.text_encoder, pipe.text_encoder_2, pipe.transformer):
        part.to(budget.device).eval().requires_grad_(False)
    layers = _layers(pipe)
    add_low_rank(layers.values(), _RANK)
    pipe.transformer.x_embedder.weight.requires_grad_(True)
    model = nn.ModuleDict({"flux": pipe.transformer})
    if compile:
        pipe.transformer.compile_repeated_blocks(dynamic=False)
    side = vae.config.sample_size // (2 * base.vae_scale_factor)
    network: Callable[..., Tensor] = Denoiser(pipe.transformer, (side, side), budget.device)
    if compile and torch.device(budget.device).type == "cuda":
        assert isinstance(network, Denoiser)
        network = graphed(network, network.inputs(budget.batch, learned_text=False))
    channels = vae.config.latent_channels

    def loss_of(step: int) -> Tensor:
        latents, tokens = pool.batch()
        clean, given = pack(latents[:, :channels]), pack(latents[:, channels:])
        noise = torch.randn_like(clean)
        t = draw_times(len(clean), budget.device)
        noisy = torch.lerp(clean, noise, t[:, None, None])
        with torch.no_grad():
            pooled, context = encoded(pipe, tokens)
        velocity = network(torch.cat([noisy, given], -1), t, pooled, context)
        return nn.functional.mse_loss(velocity, noise - clean)

    done = fit(model, loss_of, budget, title="emoji-flux-fill")
    factors = {name: _factors(layer) for name, layer in layers.items()}
    save_fill(pipe, factors, folder, base=base_folder)
    return done


def holed(seed: int | tuple[int, ...], nouns: Sequence[str], size: int) -> Iterator[Captioned]:
    """Captions and pictures `[H, W, 4]` for ever, whose last channel is 255 in the hole."""
    rng = np.random.default_rng((*np.atleast_1d(seed).tolist(), 2))
    for plan, drawn in scenes(seed, nouns, size):
        kind = rng.random()
        hole = np.zeros((size, size, 1), np.uint8)
        if kind < _AROUND:
            box = plan.things[rng.integers(len(plan.things))].box
            left, top, right, bottom = _grown(box, rng)
        elif kind < _ANY:
            left, right = np.sort(rng.uniform(0, 1, 2))
            top, bottom = np.sort(rng.uniform(0, 1, 2))
        else:
            left, top, right, bottom = 0.0, 0.0, 1.0, 1.0
        rows, columns = (
            slice(round(a * size), round(b * size)) for a, b in ((top, bottom), (left, right))
        )
        hole[rows, columns] = 255
        yield plan.caption, np.concatenate([drawn.image, hole], -1)


def _grown(box: Box, rng: np.random.Generator) -> NDArray[np.float64]:
    """By up to a third of its side, each edge by itself."""
    width = box[2] - box[0]
    by = rng.uniform(0.02, 0.33, 4) * width * np.array([-1, -1, 1, 1])
    return np.clip(np.asarray(box) + by, 0, 1)


def _layers(pipe: FluxFillPipeline) -> dict[str, nn.Linear]:
    """All linear layers of the blocks, by name."""
    return {
        name: module
        for name, module in pipe.transformer.named_modules()
        if isinstance(module, nn.Linear) and "transformer_blocks" in name
    }


def _factors(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    change: Any = layer.parametrizations["weight"][0]  # type: ignore[index]
    return change.down, change.up
