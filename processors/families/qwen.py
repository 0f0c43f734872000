"""Qwen-Image: text first, a stream for each, as many text tokens as the longest prompt has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import QwenImageTransformer2DModel
from diffusers.models.transformers import transformer_qwenimage as qwenimage
from torch import Tensor

from ..call import Grid, Kind, Site, Stage
from ..prompts import TextBlock
from ..rotary import Rotary
from .family import Encoded, Live
from .joint_processor import JointProcessor
from .texts import same_texts
from .transformer import Transformer

__all__ = ["QWEN", "Qwen", "QwenJoint"]


@dataclass(frozen=True)
class Qwen(Transformer):
    """`QwenImageTransformer2DModel`; words are those of Qwen2.5-VL behind the chat template."""

    name = "qwen"
    kind = QwenImageTransformer2DModel
    stock = qwenimage.QwenDoubleStreamAttnProcessor2_0
    batched = frozenset(
        "hidden_states encoder_hidden_states encoder_hidden_states_mask timestep guidance "
        "controlnet_block_samples".split()
    )
    padded = False

    def attentions(self, denoiser: Any) -> Iterator[tuple[Any, Kind, Stage, int]]:
        for i, block in enumerate(denoiser.transformer_blocks):
            yield block.attn, Kind.JOINT, Stage.DOUBLE, i

    def rotary(self, denoiser: Any) -> Rotary:
        embed = denoiser.pos_embed
        return Rotary(embed.theta, tuple(embed.axes_dim), centred=embed.scale_rope)

    def size(self, asked: Mapping[str, Any]) -> Grid:
        """Of the first picture of a row; further ones are references."""
        first = asked["img_shapes"][0]
        _, height, width = first[0] if isinstance(first, list) else first
        return 2 * height, 2 * width

    def processor(self, module: Any, site: Site, live: Live) -> QwenJoint:
        return QwenJoint(site, live, module.processor)

    def encoded(self, pipe: Any, asked: Mapping[str, Any], given: Any) -> Encoded:
        if "image" in asked or pipe.transformer.config.use_layer3d_rope:
            raise ValueError(
                f"pipe: {type(pipe).__name__} writes pictures among the words or draws layers, "
                "which no control knows; expected Qwen-Image's text-to-image, image-to-image, "
                "inpainting or ControlNet"
            )
        texts = same_texts(pipe, asked, ("prompt",))
        return Encoded(texts, asked["num_images_per_prompt"], given[0], None)

    def blocks(self, pipe: Any, length: int) -> tuple[TextBlock, ...]:
        template = (pipe.prompt_template_encode, pipe.prompt_template_encode_start_idx)
        return (TextBlock("qwen", (pipe.tokenizer,), length, template=template),)

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """Each token as long as the conditional prediction."""
        both = super().guided(cond, uncond, scale)
        return both * (cond.norm(dim=-1, keepdim=True) / both.norm(dim=-1, keepdim=True))


QWEN = Qwen()


class QwenJoint(JointProcessor):
    """Stands in for QwenDoubleStreamAttnProcessor2_0."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        encoder_hidden_states_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """hidden_states [B, I, C], encoder_hidden_states [B, T, C], its mask [B, T] bool."""
        text = encoder_hidden_states
        if not self.live.acts(self.site) or text is None or attention_mask is not None:
            masks = encoder_hidden_states_mask, attention_mask
            stock: Any = self.replaced(attn, hidden_states, text, *masks, image_rotary_emb)
            return stock
        split = (-1, attn.inner_dim // attn.heads)
        states = [
            (attn.to_q, attn.norm_q, hidden_states, 0),
            (attn.to_k, attn.norm_k, hidden_states, 0),
            (attn.to_v, None, hidden_states, None),
            (attn.add_q_proj, attn.norm_added_q, text, 1),
            (attn.add_k_proj, attn.norm_added_k, text, 1),
            (attn.add_v_proj, None, text, None),
        ]
        made = []
        for project, norm, given, stream in states:
            x = project(given).unflatten(-1, split)
            x = x if norm is None else norm(x)
            if image_rotary_emb is not None and stream is not None:
                x = qwenimage.apply_rotary_emb_qwen(x, image_rotary_emb[stream], use_real=False)
            made.append(x)
        q, k, v = (torch.cat((made[i + 3], made[i]), 1).transpose(1, 2) for i in range(3))

        mask, texts = encoder_hidden_states_mask, text.shape[1]
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(hidden_states.shape[:2])], 1)[:, None, None]
        out = self.attend(q, k, v, texts=texts, text_first=True, mask=mask)
        of_image = attn.to_out[0](out[:, texts:].contiguous())
        of_image = attn.to_out[1](of_image) if len(attn.to_out) > 1 else of_image
        return of_image, attn.to_add_out(out[:, :texts].contiguous())
