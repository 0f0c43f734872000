"""`emoji-flux`: a complete FLUX pipeline, small enough to train beside `emoji-sd`.

The denoiser predicts the velocity of the straight path x_t = (1 - t) x0 + t noise (Liu et al. 2022,
arXiv:2209.03003; Esser et al. 2024, arXiv:2403.03206): v = noise - x0. The architecture is that of
FLUX.1: blocks with two streams, then blocks with one, rotary positions, CLIP's pooled vector beside
T5's tokens. Real guidance with a negative prompt; no distilled guidance.
ours: 3 + 5 blocks of 6 heads of 32 channels on 16 x 16 packed latents, 7 M parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import Tensor, nn

from ..words import CORE_NOUNS
from .graphed import graphed, sound_attention
from .loop import Budget, Trained, fit
from .pictures import ORDINARY, Phase, levels_of
from .pool import Feed
from .precision import autocast
from .t5 import build_t5_encoder, build_t5_tokenizer
from .tokenizer import MAX_TOKENS, WIDTH, build_text_encoder, build_tokenizer, token_ids

__all__ = [
    "Denoiser",
    "both_token_ids",
    "build_emoji_flux",
    "draw_times",
    "encoded",
    "pack",
    "train_emoji_flux",
]

_UNIFORM = 0.2  # of the times are drawn evenly, so that none is forgotten
_SHIFT = 2.0  # of the sampler's times towards noise


def build_emoji_flux(vae: AutoencoderKL) -> FluxPipeline:
    """The untrained pipeline around an autoencoder, whose config gets the shift FLUX asks for."""
    clip, t5 = build_tokenizer(), build_t5_tokenizer()
    vae.register_to_config(shift_factor=0.0)
    transformer = FluxTransformer2DModel(
        in_channels=4 * vae.config.latent_channels,
        num_layers=3,
        num_single_layers=5,
        attention_head_dim=32,
        num_attention_heads=6,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(8, 12, 12),
    )
    _begin_at_identity(transformer)
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=_SHIFT),
        vae=vae,
        text_encoder=build_text_encoder(clip),
        tokenizer=clip,
        text_encoder_2=build_t5_encoder(t5),
        tokenizer_2=t5,
        transformer=transformer,
    )


def train_emoji_flux(
    budget: Budget,
    vae: AutoencoderKL,
    *,
    nouns: Sequence[str] = CORE_NOUNS,
    start: Path | None = None,
    phase: Phase = Phase.everything,
    compile: bool = False,
) -> tuple[FluxPipeline, Trained]:
    """Train both text encoders and the denoiser together; the arguments of `train_emoji_sd`."""
    torch.manual_seed(budget.seed)
    pipe = build_emoji_flux(vae)
    if start is not None:
        before = FluxPipeline.from_pretrained(start, local_files_only=True)
        for name in ("transformer", "text_encoder", "text_encoder_2"):
            getattr(pipe, name).load_state_dict(getattr(before, name).state_dict())
    feed = Feed(vae, partial(both_token_ids, pipe), nouns, budget, phase)
    model = nn.ModuleDict(
        {"flux": pipe.transformer, "clip": pipe.text_encoder, "t5": pipe.text_encoder_2}
    ).to(budget.device)
    vae.to(budget.device).eval().requires_grad_(False)
    levels = levels_of(phase)
    if compile:  # a block of each kind, which takes a fraction of the time that all of it takes
        pipe.transformer.compile_repeated_blocks(dynamic=False)

    @cache
    def denoiser(height: int, width: int) -> Callable[..., Tensor]:
        network = Denoiser(pipe.transformer, (height, width), budget.device)
        if not compile or torch.device(budget.device).type != "cuda":
            return network
        return graphed(network, network.inputs(budget.batch))

    def loss_of(step: int) -> Tensor:
        latents, tokens = feed.batch(step)
        clean = pack(latents)
        noise = torch.randn_like(clean)
        t = draw_times(len(clean), budget.device, levels)
        noisy = torch.lerp(clean, noise, t[:, None, None])
        pooled, context = encoded(pipe, tokens)
        denoise = denoiser(latents.shape[2] // 2, latents.shape[3] // 2)
        velocity = denoise(noisy, t, pooled, context)
        return nn.functional.mse_loss(velocity, noise - clean)

    if compile:  # outside of the minutes
        for step in range(len(feed.turns)):
            loss_of(step).backward()
            model.zero_grad()
    done = fit(model, loss_of, budget, title="emoji-flux")
    return pipe.to("cpu"), done


class Denoiser(nn.Module):
    """The transformer for one grid of image tokens, from tensors to the velocity in fp32."""

    def __init__(
        self, transformer: FluxTransformer2DModel, grid: tuple[int, int], device: str
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("places", _places(grid, device))
        self.register_buffer("text_places", torch.zeros(MAX_TOKENS, 3, device=device))

    def forward(self, noisy: Tensor, t: Tensor, pooled: Tensor, context: Tensor) -> Tensor:
        kind = noisy.device.type
        with autocast(kind, cache=False), sound_attention():
            velocity: Tensor = self.transformer(
                hidden_states=noisy,
                timestep=t,
                pooled_projections=pooled,
                encoder_hidden_states=context,
                txt_ids=self.text_places,
                img_ids=self.places,
                return_dict=False,
            )[0]
        return velocity.float()

    def inputs(self, batch: int, *, learned_text: bool = True) -> list[Tensor]:
        """Some of the shapes, kinds and gradients that training has."""
        device = self.get_buffer("places").device
        noisy = torch.randn(
            batch,
            len(self.get_buffer("places")),
            self.transformer.config.in_channels,
            device=device,
        )
        text = [
            torch.randn(batch, *shape, device=device) for shape in ((WIDTH,), (MAX_TOKENS, WIDTH))
        ]
        return [
            noisy,
            torch.rand(batch, device=device),
            *(x.requires_grad_(learned_text) for x in text),
        ]


def both_token_ids(pipe: DiffusionPipeline, captions: list[str]) -> Tensor:
    """Token ids `[B, 2 T]` for CLIP and T5, side by side."""
    both = [token_ids(each, captions) for each in (pipe.tokenizer, pipe.tokenizer_2)]
    return torch.cat(both, 1)


def encoded(pipe: DiffusionPipeline, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What the denoiser is told of `both_token_ids`: CLIP's vector, T5's states, in fp32."""
    clip, t5 = tokens.split(MAX_TOKENS, 1)
    with autocast(tokens.device.type):
        pooled = pipe.text_encoder(clip).pooler_output
        context = pipe.text_encoder_2(t5).last_hidden_state
    return pooled.float(), context.float()


def _begin_at_identity(transformer: FluxTransformer2DModel) -> None:
    """Blocks that add nothing and a velocity of zero at first: adaLN-Zero (Peebles and Xie 2023,
    arXiv:2212.09748, section 3.2), with which DiT learned faster; not compared here."""
    for name, module in transformer.named_modules():
        last = name.rpartition(".")[2]
        modulation = last == "linear" and "norm" in name
        if isinstance(module, nn.Linear) and (modulation or name == "proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def pack(latents: Tensor) -> Tensor:
    """`[B, C, 2h, 2w]` to FLUX's tokens `[B, h w, 4 C]`."""
    return nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)


def draw_times(count: int, device: str = "cpu", levels: tuple[float, float] = ORDINARY) -> Tensor:
    """Times `[count]` in (0, 1), most of them where shapes are decided.

    ours: the logarithm of signal over noise, 2 log((1 - t) / t), is drawn from a normal of this
    mean and deviation, as for `emoji-sd`.
    """
    mean, deviation = levels
    t = torch.sigmoid(-0.5 * (mean + deviation * torch.randn(count, device=device)))
    evenly = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < _UNIFORM, evenly, t)


def _places(grid: tuple[int, int], device: str) -> Tensor:
    """FLUX's positions `[h w, 3]` of image tokens: 0, row, column."""
    sides = [torch.arange(side, dtype=torch.float32, device=device) for side in grid]
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).flatten(0, 1)
