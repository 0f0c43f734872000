"""Writes a small Stable Diffusion 1.x folder as one file, with its authors' names of tensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

__all__ = ["write_one_file"]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.upsamplers.0": "output_blocks.1.1",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def write_one_file(pipe: Any, path: Path) -> None:
    """`pipe` must have the shape of the `tiny_sd` fixture."""
    tensors: dict[str, Tensor] = {}
    for name, value in pipe.unet.state_dict().items():
        tensors[f"model.diffusion_model.{_unet(name)}"] = value
    for name, value in pipe.vae.state_dict().items():
        wide = re.search(r"attentions\.0\.(to_\w+)(\.0)?\.weight", name)
        tensors[f"first_stage_model.{_vae(name)}"] = value[:, :, None, None] if wide else value
    for name, value in pipe.text_encoder.state_dict().items():
        tail = name if name.startswith("text_model.") else f"text_model.{name}"
        tensors[f"cond_stage_model.transformer.{tail}"] = value
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


def _unet(name: str) -> str:
    for ours, theirs in _UNET.items():
        if name.startswith(f"{ours}."):
            tail = name[len(ours) + 1 :]
            if ".resnets." in ours:
                part, _, rest = tail.partition(".")
                tail = f"{_RESNET[part]}.{rest}"
            return f"{theirs}.{tail}"
    raise AssertionError(name)


def _vae(name: str) -> str:
    pairs = (
        (r"down_blocks\.(\d+)\.resnets", r"down.\1.block"),
        (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.0\.resnets", "up.1.block"),
        (r"up_blocks\.1\.resnets", "up.0.block"),
        (r"up_blocks\.0\.upsamplers\.0", "up.1.upsample"),
        (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
    )
    for ours, theirs in pairs:
        name = re.sub(ours, theirs, name)
    return name
