"""Stable Diffusion 1.5 with random weights: for measurements, which need its shapes only.

The denoiser has the configuration of Stable Diffusion 1.5 (Rombach et al. 2022, arXiv:2112.10752).
Text encoder and autoencoder are small, since neither runs in the sampling loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTokenizer

__all__ = ["untrained_sd15"]

_WIDTH = 768


def untrained_sd15(
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    channels: tuple[int, int, int, int] = (320, 640, 1280, 1280),
) -> StableDiffusionPipeline:
    """A stock pipeline, the same weights each time.

    dtype, device: None = fp32, the CPU.
    channels:      of the denoiser's four levels; multiples of 32.
    """
    import torch
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    words = _letters()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=_WIDTH,
            intermediate_size=_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=12,
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
            pad_token_id=len(words) - 1,
        )
        pipe = StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(8,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                norm_num_groups=4,
                latent_channels=4,
                sample_size=512,
            ),
            text_encoder=CLIPTextModel(text),
            tokenizer=words,
            unet=UNet2DConditionModel(
                sample_size=64,
                block_out_channels=channels,
                cross_attention_dim=_WIDTH,
                attention_head_dim=8,  # heads, in spite of its name
            ),
            scheduler=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device or "cpu", dtype or torch.float32)


def _letters() -> CLIPTokenizer:
    """CLIP's byte alphabet without a merge, 77 positions: a token for each letter."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {s: i for i, s in enumerate([*symbols, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
