"""Stable Diffusion 3 and 3.5: image first, then CLIP's 77 text tokens and those of T5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import JointAttnProcessor2_0
from torch import Tensor

from ..call import Batch, Grid, Kind, Site, Stage
from ..prompts import TextBlock
from ..step import Inputs
from .family import Encoded, Live
from .joint_processor import JointProcessor
from .rows import together
from .texts import same_texts
from .transformer import Transformer

__all__ = ["SD3", "SD3Joint", "StableDiffusion3"]


@dataclass(frozen=True)
class StableDiffusion3(Transformer):
    """`SD3Transformer2DModel`, with `[uncond; cond]` in one call; 3.5-medium's second attentions,
    of the image alone, are sites of their own."""

    name = "sd3"
    kind = SD3Transformer2DModel
    stock = JointAttnProcessor2_0
    batched = frozenset(
        "hidden_states encoder_hidden_states pooled_projections timestep "
        "block_controlnet_hidden_states".split()
    )
    apart = False
    timescale = 1

    def attentions(self, denoiser: Any) -> Iterator[tuple[Any, Kind, Stage, int]]:
        for i, block in enumerate(denoiser.transformer_blocks):
            yield block.attn, Kind.JOINT, Stage.DOUBLE, i
            if block.attn2 is not None:
                yield block.attn2, Kind.SELF, Stage.DOUBLE, i

    def scale(self, denoiser: Any) -> tuple[int, int]:
        patch = int(denoiser.config.patch_size)
        return patch.bit_length() - 1, denoiser.config.sample_size // patch

    def size(self, asked: Mapping[str, Any]) -> Grid:
        height, width = asked["hidden_states"].shape[-2:]
        return height, width

    def processor(self, module: Any, site: Site, live: Live) -> SD3Joint:
        return SD3Joint(site, live, module.processor)

    def encoded(self, pipe: Any, asked: Mapping[str, Any], given: Any) -> Encoded:
        texts = same_texts(pipe, asked, ("prompt", "prompt_2", "prompt_3"))
        uncond = given[1] if asked["do_classifier_free_guidance"] else None
        return Encoded(texts, asked["num_images_per_prompt"], given[0], uncond)

    def blocks(self, pipe: Any, length: int) -> tuple[TextBlock, ...]:
        """Without its T5 the pipeline puts zeros there, which are no words."""
        clip = min(pipe.tokenizer_max_length, length)
        both = TextBlock("clip", (pipe.tokenizer, pipe.tokenizer_2), clip)
        if pipe.text_encoder_3 is None or length == clip:
            return (both,)
        return both, TextBlock("t5", (pipe.tokenizer_3,), length - clip, offset=clip)

    def batch(self, encoded: Encoded, context: Tensor) -> Batch:
        return together(encoded, context, skips=True)

    def latent_part(self, pipe: Any, inputs: Inputs, size: Grid) -> tuple[slice, ...]:
        return slice(None), slice(0, pipe.transformer.config.out_channels)

    def unpack(self, latents: Tensor, size: Grid) -> Tensor:
        return latents

    def pack(self, latents: Tensor) -> Tensor:
        return latents


SD3 = StableDiffusion3()


class SD3Joint(JointProcessor):
    """Stands in for JointAttnProcessor2_0, which ignores masks, as this does."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """hidden_states [B, I, C], encoder_hidden_states [B, T, C] or, of the image alone, None."""
        hidden_states, text = self.live.states(self.site, hidden_states, encoder_hidden_states)
        if not self.live.acts(self.site):
            return self.replaced(attn, hidden_states, text, attention_mask)
        q, k, v = _heads(attn, hidden_states, to_q="norm_q", to_k="norm_k", to_v="")
        texts, image = 0 if text is None else text.shape[1], hidden_states.shape[1]
        if text is not None:
            norms = {"add_q_proj": "norm_added_q", "add_k_proj": "norm_added_k", "add_v_proj": ""}
            pairs = zip((q, k, v), _heads(attn, text, **norms), strict=True)
            q, k, v = (torch.cat(pair, 2) for pair in pairs)
        out = self.attend(q, k, v, texts=texts, text_first=False)
        of_image = attn.to_out[1](attn.to_out[0](out[:, :image]))
        if text is None:
            return of_image
        of_text = out[:, image:]
        return of_image, of_text if attn.context_pre_only else attn.to_add_out(of_text)


def _heads(attn: Any, states: Tensor, **norms: str) -> Iterator[Tensor]:
    """By each projection and, if the model has it, its norm; [B, H, N, D] each."""
    for project, named in norms.items():
        x = getattr(attn, project)(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        norm = getattr(attn, named) if named else None
        yield x if norm is None else norm(x)
