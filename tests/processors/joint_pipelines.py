"""Tiny random pipelines of the joint-attention families, fp32, made in milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

__all__ = ["JOINT", "LENGTH", "PROMPTS", "SIDE", "STEPS", "JointStudio", "flux", "qwen", "sd3"]

SIDE = 32  # pixels: 16 latents, 8 tokens
LENGTH = 24  # T5 tokens

_TEMPLATE_START = 34  # tokens that QwenImagePipeline cuts off in front
_PIECES = "a cat tiger dog grass on red wet lion sand".split()


def t5_tokenizer() -> T5Tokenizer:
    """Words of one piece but "tiger", which has two, and letters."""
    pieces: dict[str, float] = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -4.0}
    pieces |= {"▁" + word: -2.0 for word in _PIECES if word != "tiger"}
    pieces |= {"▁ti": -2.0, "ger": -2.0} | dict.fromkeys("abcdefghijklmnopqrstuvwxyz", -9.0)
    return T5Tokenizer(vocab=list(pieces.items()), extra_ids=0, model_max_length=LENGTH)


def clip_tokenizer() -> CLIPTokenizer:
    letters = sorted(ByteLevel.alphabet())
    symbols = [*letters, *(letter + "</w>" for letter in letters)]
    vocab = {s: i for i, s in enumerate([*symbols, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _clip_config(words: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
        projection_dim=16,
    )


def _t5(words: int) -> T5EncoderModel:
    torch.manual_seed(1)
    config = T5Config(vocab_size=words, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    return T5EncoderModel(config).eval()


def _vae(channels: int) -> AutoencoderKL:
    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=SIDE,
        shift_factor=0.1,
        scaling_factor=0.5,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _lively(model: torch.nn.Module) -> torch.nn.Module:
    """Attention that is not flat: weights of queries and keys a few times as large."""
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("to_q.", "to_k.", "add_q_proj.", "add_k_proj.")):
            parameter.data *= 6
    return model.eval()


def flux(cls: Any = FluxPipeline, **options: Any) -> Any:
    """Two double and two single blocks."""
    words, clip = t5_tokenizer(), clip_tokenizer()
    torch.manual_seed(3)
    transformer = FluxTransformer2DModel(
        **{
            "in_channels": 16,
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 8,
            "num_attention_heads": 2,
            "joint_attention_dim": 32,
            "pooled_projection_dim": 16,
            "axes_dims_rope": (2, 2, 4),
            **options,
        }
    )
    torch.manual_seed(4)
    return quiet(
        cls(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=_vae(4),
            text_encoder=CLIPTextModel(_clip_config(len(clip))).eval(),
            tokenizer=clip,
            text_encoder_2=_t5(len(words)),
            tokenizer_2=words,
            transformer=_lively(transformer),
        )
    )


def sd3(cls: Any = StableDiffusion3Pipeline, dual: tuple[int, ...] = ()) -> Any:
    """Three blocks, the last of which drops the text; `dual` ones look at the image once more."""
    words, clip = t5_tokenizer(), clip_tokenizer()
    torch.manual_seed(3)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=24,
        dual_attention_layers=dual,
        qk_norm="rms_norm" if dual else None,
    )
    torch.manual_seed(4)
    return quiet(
        cls(
            transformer=_lively(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(4),
            text_encoder=CLIPTextModelWithProjection(_clip_config(len(clip))).eval(),
            tokenizer=clip,
            text_encoder_2=CLIPTextModelWithProjection(_clip_config(len(clip))).eval(),
            tokenizer_2=clip_tokenizer(),
            text_encoder_3=_t5(len(words)),
            tokenizer_3=words,
        )
    )


def sd3_dual(cls: Any = StableDiffusion3Pipeline) -> Any:
    """As 3.5-medium."""
    return sd3(cls, dual=(0, 1))


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Bytes, the marks of the chat template, and pieces so that its start has 34 tokens."""
    letters = sorted(ByteLevel.alphabet())
    words = {s: i for i, s in enumerate([*letters, "<|endoftext|>"])}
    tokenizer = Qwen2Tokenizer(vocab=words, merges=[])
    template = QwenImagePipeline.__init__.__code__.co_consts
    form = next(c for c in template if isinstance(c, str) and "{}" in c)
    marks = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    before = form.partition("{}")[0]
    system = before.split(marks[0])[1].split(marks[1])[0]
    spare = len(tokenizer(before).input_ids) - _TEMPLATE_START  # tokens too many, as bytes
    tokenizer.add_tokens([system[: spare + 1]])
    assert len(tokenizer(before).input_ids) == _TEMPLATE_START
    return tokenizer


def qwen(cls: Any = QwenImagePipeline) -> Any:
    """Two blocks."""
    words = qwen_tokenizer()
    torch.manual_seed(1)
    text = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(words),
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "rope_scaling": {
                    "mrope_section": [1, 1, 2],
                    "rope_type": "default",
                    "type": "default",
                },
                "rope_theta": 1e6,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": 16,
            },
            hidden_size=16,
            vocab_size=len(words),
        )
    ).eval()
    torch.manual_seed(2)
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1] * 4,
        latents_std=[0.5] * 4,
    ).eval()
    torch.manual_seed(3)
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    return quiet(
        cls(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
            vae=vae,
            text_encoder=text,
            tokenizer=words,
            transformer=_lively(transformer),
        )
    )


STEPS = 3
PROMPTS = ["a cat on grass", "a tiger on grass"]
MAKE = {"flux": flux, "sd3": sd3, "sd3-dual": sd3_dual, "qwen": qwen}
JOINT = tuple(MAKE)


class JointStudio:
    """As `conftest.Studio`: equal seeds for prompts, latents out; guidance as families have it."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name, self.pipe = name, MAKE[name](**options)

    def __call__(
        self,
        prompts: list[str] | None = None,
        *,
        images: int = 1,
        guidance: float = 3.0,
        **more: Any,
    ) -> torch.Tensor:
        prompts = PROMPTS if prompts is None else prompts
        seeds = [torch.Generator().manual_seed(i) for _ in prompts for i in range(images)]
        apart = self.name in ("flux", "qwen")
        settings: dict[str, Any] = {
            "num_inference_steps": STEPS,
            "num_images_per_prompt": images,
            "generator": seeds,
            "output_type": "latent",
            "height": SIDE,
            "width": SIDE,
            "true_cfg_scale" if apart else "guidance_scale": guidance,
            **({"max_sequence_length": LENGTH} if self.name != "qwen" else {}),
            **more,
        }
        if apart and guidance > 1:
            settings.setdefault("negative_prompt", ["sand"] * len(prompts))
        return self.pipe(prompts, **settings).images
