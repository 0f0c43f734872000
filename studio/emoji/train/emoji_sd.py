"""`emoji-sd`: a complete Stable Diffusion pipeline, small enough to train on two CPU cores.

The denoiser predicts v (Salimans and Ho 2022, arXiv:2202.00512): v = sqrt(a) noise - sqrt(1 - a) x0
with a the cumulative alpha of the linear schedule of DDPM (Ho et al. 2020, arXiv:2006.11239).
ours: cross- and self-attention at 16 x 16 and 8 x 8 of the 32 x 32 latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn

from ..words import CORE_NOUNS
from .graphed import graphed, sound_attention
from .loop import Budget, Trained, fit
from .pictures import ORDINARY, Phase, levels_of
from .pool import Feed
from .precision import autocast
from .tokenizer import MAX_TOKENS, WIDTH, build_text_encoder, build_tokenizer, token_ids

__all__ = ["build_emoji_sd", "draw_timesteps", "train_emoji_sd"]

_UNIFORM = 0.2  # of the timesteps are drawn evenly, so that none is forgotten


def build_emoji_sd(vae: AutoencoderKL) -> StableDiffusionPipeline:
    """The untrained pipeline around an autoencoder."""
    tokenizer = build_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=vae.config.sample_size // 4,
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        block_out_channels=(64, 96, 160),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # the number of heads, in spite of its name
        norm_num_groups=16,
    )
    scheduler = DDIMScheduler(
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def train_emoji_sd(
    budget: Budget,
    vae: AutoencoderKL,
    *,
    nouns: Sequence[str] = CORE_NOUNS,
    start: Path | None = None,
    phase: Phase = Phase.everything,
    compile: bool = False,
) -> tuple[StableDiffusionPipeline, Trained]:
    """Train text encoder and denoiser together on cached latents.

    phase:   what it learns from; a later phase goes on from an earlier one's checkpoint.
    start:   a pipeline folder to go on from, when `budget.folder` holds no checkpoint.
    compile: let torch compile the denoiser: some minutes at first on a CPU, then a sixth faster;
             on a GPU record it once and replay that.
    """
    torch.manual_seed(budget.seed)
    pipe = build_emoji_sd(vae)
    if start is not None:
        before = StableDiffusionPipeline.from_pretrained(start, local_files_only=True)
        pipe.unet.load_state_dict(before.unet.state_dict())
        pipe.text_encoder.load_state_dict(before.text_encoder.state_dict())
    feed = Feed(vae, partial(token_ids, pipe.tokenizer), nouns, budget, phase)
    model = nn.ModuleDict({"unet": pipe.unet, "text": pipe.text_encoder}).to(budget.device)
    vae.to(budget.device).eval().requires_grad_(False)
    if torch.device(budget.device).type == "cpu":
        # The explicit softmax has the faster backward at these sizes on a CPU.
        pipe.unet.set_attn_processor(AttnProcessor())
    else:
        pipe.unet.to(memory_format=torch.channels_last)

    @cache
    def denoiser(side: int) -> Callable[..., Tensor]:
        network = _Denoiser(pipe.unet)
        if torch.device(budget.device).type == "cuda" and compile:
            return graphed(network, network.inputs(budget.batch, side, budget.device))
        return torch.compile(network) if compile else network

    levels = levels_of(phase)
    alphas = pipe.scheduler.alphas_cumprod.to(budget.device)

    def loss_of(step: int) -> Tensor:
        latents, tokens = feed.batch(step)
        t = draw_timesteps(alphas, len(latents), levels)
        a = alphas[t][:, None, None, None]
        noise = torch.randn_like(latents)
        target = a.sqrt() * noise - (1 - a).sqrt() * latents
        with autocast(budget.device):
            text = pipe.text_encoder(tokens).last_hidden_state
        noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
        output = denoiser(latents.shape[-1])(noisy, t, text.float())
        return nn.functional.mse_loss(output.float(), target)

    if compile:  # outside of the minutes
        for step in range(len(feed.turns)):
            loss_of(step).backward()
            model.zero_grad()
    done = fit(model, loss_of, budget, title="emoji-sd")
    pipe.unet.set_attn_processor(AttnProcessor2_0())
    pipe.unet.to(memory_format=torch.contiguous_format)
    return pipe.to("cpu"), done


class _Denoiser(nn.Module):
    """The UNet from tensors to a tensor."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, noisy: Tensor, t: Tensor, text: Tensor) -> Tensor:
        with autocast(noisy.device.type, cache=False), sound_attention():
            output: Tensor = self.unet(noisy, t, encoder_hidden_states=text, return_dict=False)[0]
        return output

    def inputs(self, batch: int, side: int, device: str) -> list[Tensor]:
        """Some of the shapes, kinds and gradients that training has."""
        noisy = torch.randn(batch, self.unet.config.in_channels, side, side, device=device)
        t = torch.randint(0, 1000, (batch,), device=device)
        text = torch.randn(batch, MAX_TOKENS, WIDTH, device=device).requires_grad_()
        return [noisy, t, text]


def draw_timesteps(alphas: Tensor, count: int, levels: tuple[float, float] = ORDINARY) -> Tensor:
    """Timesteps `[count]` of cumulative alphas `[steps]`, most of them where shapes are decided.

    ours: the logarithm of signal over noise, log(a / (1 - a)), is drawn from a normal of this mean
    and deviation. The linear schedule spends two fifths of its steps below -4.5, where a picture
    shows its places and colours alone, and a tenth above 2, where it only lacks texture.
    """
    snr = (alphas / (1 - alphas)).log()
    mean, deviation = levels
    wanted = mean + deviation * torch.randn(count, device=alphas.device)
    t = torch.searchsorted(-snr, -wanted).clamp_max(len(alphas) - 1)
    evenly = torch.randint(0, len(alphas), (count,), device=alphas.device)
    return torch.where(torch.rand(count, device=alphas.device) < _UNIFORM, evenly, t)
