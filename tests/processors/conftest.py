"""Tiny random pipelines of the UNet families, fp32, made from configs in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

diffusers_logging.set_verbosity_error()

SIDE = 32  # pixels; 16 latents
STEPS = 3
PROMPTS = ["a cat on grass", "a tiger on grass"]  # byte tokens: words of 3 and 5 tokens


def tokenizer() -> CLIPTokenizer:
    """CLIP's byte alphabet without a merge: one token a letter."""
    letters = sorted(ByteLevel.alphabet())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    vocab = {s: i for i, s in enumerate([*symbols, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def text_config(words: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        projection_dim=32,
    )


def unet(channels: int = 4, cross: int = 32, **more: Any) -> UNet2DConditionModel:
    """Attention on 16², 8² (down, up) and 8² (mid); with random, not zero, last layers."""
    torch.manual_seed(1)
    model = UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=cross,
        attention_head_dim=2,
        norm_num_groups=8,
        **more,
    )
    return model.eval()


def parts(channels: int = 4, prediction: str = "epsilon") -> dict[str, Any]:
    """Components of SD 1.x, or of 2.x with v-prediction."""
    words = tokenizer()
    torch.manual_seed(0)
    return {
        "vae": AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
            sample_size=SIDE,
        ).eval(),
        "text_encoder": CLIPTextModel(text_config(len(words))).eval(),
        "tokenizer": words,
        "unet": unet(channels, use_linear_projection=prediction == "v_prediction"),
        "scheduler": DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=prediction,
        ),
    }


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def sd(cls: Any = StableDiffusionPipeline, **options: Any) -> Any:
    extra = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return quiet(cls(**parts(**options), **extra))


def control_net() -> Any:
    found = parts()
    net = ControlNetModel.from_unet(found["unet"], conditioning_embedding_out_channels=(8, 8))
    torch.manual_seed(2)
    for block in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(block.weight, std=0.2)
    extra = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return quiet(StableDiffusionControlNetPipeline(**found, controlnet=net.eval(), **extra))


def sdxl(cls: Any = StableDiffusionXLPipeline) -> Any:
    found = parts()
    config = text_config(len(found["tokenizer"]))
    torch.manual_seed(3)
    found["text_encoder_2"] = CLIPTextModelWithProjection(config).eval()
    found["tokenizer_2"] = tokenizer()
    found["unet"] = unet(
        cross=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
        use_linear_projection=True,
    )
    return quiet(cls(**found, add_watermarker=False))


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    channels = 3 if mode == "RGB" else 1
    noise = torch.rand(channels, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    data = (noise * 255).byte().permute(1, 2, 0).squeeze().contiguous().numpy()
    return Image.fromarray(data)


def half_mask() -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (0, 0, SIDE // 2, SIDE))
    return mask


CASES: dict[str, tuple[Callable[[], Any], Callable[[int], dict[str, Any]]]] = {
    "sd": (sd, lambda rows: {}),
    "sd2-v": (lambda: sd(prediction="v_prediction"), lambda rows: {}),
    "sdxl": (sdxl, lambda rows: {}),
    "sd-img2img": (
        lambda: sd(StableDiffusionImg2ImgPipeline),
        lambda rows: {"image": [picture(1)] * rows, "strength": 0.7},
    ),
    "sdxl-img2img": (
        lambda: sdxl(StableDiffusionXLImg2ImgPipeline),
        lambda rows: {"image": [picture(1)] * rows, "strength": 0.7},
    ),
    "sd-inpaint-4": (
        lambda: sd(StableDiffusionInpaintPipeline),
        lambda rows: {"image": [picture(1)] * rows, "mask_image": [half_mask()] * rows},
    ),
    "sd-inpaint-9": (
        lambda: sd(StableDiffusionInpaintPipeline, channels=9),
        lambda rows: {"image": [picture(1)] * rows, "mask_image": [half_mask()] * rows},
    ),
    "sd-controlnet": (control_net, lambda rows: {"image": picture(2)}),
}
"""How to make each pipeline, and what its call needs beside the prompt for so many pictures."""


class Studio:
    """A pipeline and the way to call it: same seed for every prompt, latents or pixels out.

    side: of the pictures, in pixels; half of SIDE where a law has nothing to do with grids.
    """

    def __init__(self, name: str, side: int = SIDE) -> None:
        make, needs = CASES[name]
        self.name, self.pipe, self.side, self._needs = name, make(), side, needs

    def __call__(
        self,
        prompts: list[str] | None = None,
        *,
        images: int = 1,
        guidance: float = 5.0,
        **more: Any,
    ) -> torch.Tensor:
        prompts = PROMPTS if prompts is None else prompts
        seeds = [torch.Generator().manual_seed(i) for _ in prompts for i in range(images)]
        settings: dict[str, Any] = {
            "num_inference_steps": STEPS,
            "num_images_per_prompt": images,
            "guidance_scale": guidance,
            "generator": seeds,
            "output_type": "latent",
            **(
                {}
                if "image" in self._needs(1) and "controlnet" not in self.name
                else {"height": self.side, "width": self.side}
            ),
            **{name: self._sized(given) for name, given in self._needs(len(seeds)).items()},
            **more,
        }
        return self.pipe(prompts, **settings).images

    def _sized(self, given: Any) -> Any:
        """Pictures in the size of this studio's."""
        if isinstance(given, list):
            return [self._sized(one) for one in given]
        return given.resize((self.side,) * 2) if isinstance(given, Image.Image) else given


@pytest.fixture
def studio() -> Callable[[str], Studio]:
    return Studio
