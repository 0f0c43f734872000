"""FLUX.1: text first; double blocks with a stream for each, then single ones with one for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from torch import Tensor

from ..call import Grid, Kind, Site, Stage
from ..prompts import TextBlock
from ..rotary import Rotary
from .family import Encoded, Live
from .joint_processor import JointProcessor
from .texts import same_texts
from .transformer import Transformer

__all__ = ["FLUX", "Flux", "FluxJoint"]


@dataclass(frozen=True)
class Flux(Transformer):
    """`FluxTransformer2DModel`: dev, schnell, Fill, Kontext, ControlNet; words are those of T5."""

    name = "flux"
    kind = FluxTransformer2DModel
    stock = FluxAttnProcessor
    batched = frozenset(
        "hidden_states encoder_hidden_states pooled_projections timestep guidance "
        "controlnet_block_samples controlnet_single_block_samples".split()
    )

    def attentions(self, denoiser: Any) -> Iterator[tuple[Any, Kind, Stage, int]]:
        doubles = denoiser.transformer_blocks
        for i, block in enumerate(doubles):
            yield block.attn, Kind.JOINT, Stage.DOUBLE, i
        for i, block in enumerate(denoiser.single_transformer_blocks, len(doubles)):
            yield block.attn, Kind.JOINT, Stage.SINGLE, i

    def rotary(self, denoiser: Any) -> Rotary:
        return Rotary(denoiser.pos_embed.theta, tuple(denoiser.pos_embed.axes_dim))

    def size(self, asked: Mapping[str, Any]) -> Grid:
        """Of the tokens whose first id is that of the very first; Kontext's picture has another."""
        ids = asked["img_ids"]
        ids = ids[0] if ids.ndim == 3 else ids
        _, height, width = (ids[ids[:, 0] == ids[0, 0]].amax(0) - ids[0] + 1).int().tolist()
        return 2 * height, 2 * width

    def processor(self, module: Any, site: Site, live: Live) -> FluxJoint:
        return FluxJoint(site, live, module.processor)

    def encoded(self, pipe: Any, asked: Mapping[str, Any], given: Any) -> Encoded:
        texts = same_texts(pipe, asked, ("prompt", "prompt_2"))
        return Encoded(texts, asked["num_images_per_prompt"], given[0], None)

    def blocks(self, pipe: Any, length: int) -> tuple[TextBlock, ...]:
        return (TextBlock("t5", (pipe.tokenizer_2,), length),)


FLUX = Flux()


class FluxJoint(JointProcessor):
    """Stands in for FluxAttnProcessor in double and, with text and image as one, single blocks."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """hidden_states [B, I, C], or [B, T + I, C] without encoder_hidden_states [B, T, C]."""
        hidden_states, text = self.live.states(self.site, hidden_states, encoder_hidden_states)
        if not self.live.acts(self.site):
            stock: Tensor | tuple[Tensor, Tensor] = self.replaced(
                attn, hidden_states, text, attention_mask, image_rotary_emb
            )
            return stock
        split = (-1, attn.head_dim)
        q = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, split))
        k = attn.norm_k(attn.to_k(hidden_states).unflatten(-1, split))
        v = attn.to_v(hidden_states).unflatten(-1, split)
        if text is not None:
            q = torch.cat([attn.norm_added_q(attn.add_q_proj(text).unflatten(-1, split)), q], 1)
            k = torch.cat([attn.norm_added_k(attn.add_k_proj(text).unflatten(-1, split)), k], 1)
            v = torch.cat([attn.add_v_proj(text).unflatten(-1, split), v], 1)
        if image_rotary_emb is not None:
            q, k = (apply_rotary_emb(x, image_rotary_emb, sequence_dim=1) for x in (q, k))
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out = self.attend(q, k, v, texts=self.live.texts, text_first=True, mask=attention_mask)
        if text is None:
            return out
        of_text, of_image = out.split([text.shape[1], out.shape[1] - text.shape[1]], 1)
        of_image = attn.to_out[1](attn.to_out[0](of_image.contiguous()))
        return of_image, attn.to_add_out(of_text.contiguous())
