"""A tiny random pipeline with emoji world's own tokenizer, and a judge that sees nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from attention_studio.emoji import Scene
from attention_studio.emoji.train.tokenizer import WIDTH, build_text_encoder, build_tokenizer
from attention_studio.evaluate.judging import Judge


@pytest.fixture(scope="session")
def emoji_pipe() -> StableDiffusionPipeline:
    """64 px, cross-attention at 16 x 16 and 8 x 8."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def blind() -> Judge:
    """Sees an empty scene, of no place and style that a prompt could ask for."""
    scene = Scene((), (), (), np.zeros((0, 64, 64), bool), "nowhere", "no style")
    return lambda images: [scene] * len(images)
