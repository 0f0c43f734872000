"""The UNets of Stable Diffusion 1.x, 2.x and XL: their sites, grids, prompts and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    FusedAttnProcessor2_0,
)
from torch import Tensor

from ..call import Batch, Grid, Kind, Site, Stage, halved
from ..prompts import TextBlock
from ..step import Inputs
from .family import Encoded, Keeps, Live
from .rows import only, together
from .schedulers import keeps
from .texts import same_texts
from .unet_attention import UNetAttention

__all__ = ["UNET", "UNet"]

_BATCHED = (
    "sample timestep encoder_hidden_states class_labels timestep_cond attention_mask "
    "encoder_attention_mask added_cond_kwargs down_block_additional_residuals "
    "mid_block_additional_residual down_intrablock_additional_residuals"
).split()
"""Arguments of UNet2DConditionModel.forward with one entry, or none, for each row."""

_MAP_HALVINGS = 2  # word maps are read at latent/4, as the Prompt-to-Prompt code does
_MAP_SIDE = 16  # ours: but on no less than 16 tokens a side, for models with small latents


@dataclass(frozen=True)
class UNet:
    """`UNet2DConditionModel` with text cross-attention and `[uncond; cond]` in one call."""

    name: str = "unet"
    apart: bool = False
    padded: bool = True
    joint: bool = False
    carrier: type = DDIMScheduler

    @property
    def arguments(self) -> Mapping[str, str]:
        return {"sample": "sample", "t": "timestep", "context": "encoder_hidden_states"}

    def denoiser(self, pipe: Any) -> UNet2DConditionModel | None:
        unet = getattr(pipe, "unet", None)
        return unet if isinstance(unet, UNet2DConditionModel) else None

    def sites(self, denoiser: Any) -> Sequence[tuple[Any, Site]]:
        names = {module: name for name, module in denoiser.named_modules()}
        found = list(_attentions(denoiser))
        side = denoiser.config.sample_size or 64  # what diffusers itself takes for a missing one
        trained = max(side) if isinstance(side, list | tuple) else side
        reads = _map_halvings(
            {halvings for m, _, halvings in found if m.is_cross_attention}, trained
        )
        return [
            (
                module,
                Site(
                    name=names[module],
                    family=self.name,
                    kind=Kind.CROSS if module.is_cross_attention else Kind.SELF,
                    stage=stage,
                    index=index,
                    halvings=halvings,
                    side=halved(trained, halvings),
                    has_text=module.is_cross_attention,
                    maps=module.is_cross_attention and halvings == reads,
                ),
            )
            for index, (module, stage, halvings) in enumerate(found)
        ]

    def check(self, module: Any, site: Site) -> None:
        found = type(module.processor)
        if found is FusedAttnProcessor2_0:
            raise ValueError(
                f"pipe: {site.name} has fused projections; call unfuse_qkv_projections() first"
            )
        if found not in (AttnProcessor, AttnProcessor2_0):
            raise ValueError(
                f"pipe: {site.name} holds {found.__name__}; expected AttnProcessor2_0 or "
                "AttnProcessor (IP-Adapter, PAG, sliced and custom processors cannot be steered)"
            )

    def processor(self, module: Any, site: Site, live: Live) -> UNetAttention:
        return UNetAttention(site, live, module.processor)

    def encoded(self, pipe: Any, asked: Mapping[str, Any], given: Any) -> Encoded:
        texts = same_texts(pipe, asked, ("prompt", "prompt_2"))
        return Encoded(
            texts=texts,
            images=asked["num_images_per_prompt"],
            cond=given[0],
            uncond=given[1] if asked["do_classifier_free_guidance"] else None,
        )

    def blocks(self, pipe: Any, length: int) -> tuple[TextBlock, ...]:
        both = (getattr(pipe, "tokenizer", None), getattr(pipe, "tokenizer_2", None))
        return (TextBlock("clip", tuple(t for t in both if t is not None), length),)

    def size(self, asked: Mapping[str, Any]) -> Grid:
        height, width = asked["sample"].shape[-2:]
        return height, width

    def batch(self, encoded: Encoded, context: Tensor) -> Batch:
        return together(encoded, context)

    def rows(self, asked: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        return only(asked, rows, _BATCHED)

    def latent_part(self, pipe: Any, inputs: Inputs, size: Grid) -> tuple[slice, ...]:
        return slice(None), slice(0, pipe.unet.config.out_channels)

    def unpack(self, latents: Tensor, size: Grid) -> Tensor:
        return latents

    def pack(self, latents: Tensor) -> Tensor:
        return latents

    def forward(
        self, denoiser: Any, sample: Tensor, t: Tensor, context: Tensor, added: Mapping[str, Any]
    ) -> Tensor:
        more = dict(added) or None
        out: Tensor = denoiser(sample, t, context, added_cond_kwargs=more, return_dict=False)[0]
        return out

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        return uncond + scale * (cond - uncond)

    def keeps(self, scheduler: Any) -> Keeps:
        return keeps(scheduler)


UNET = UNet()


def _attentions(unet: UNet2DConditionModel) -> Iterator[tuple[Attention, Stage, int]]:
    """Each attention, its stage, and how often the latents were halved on the way to it."""
    halvings = 0
    for block in unet.down_blocks:
        yield from ((module, Stage.DOWN, halvings) for module in _within(block))
        halvings += getattr(block, "downsamplers", None) is not None
    if unet.mid_block is not None:
        yield from ((module, Stage.MID, halvings) for module in _within(unet.mid_block))
    for block in unet.up_blocks:
        yield from ((module, Stage.UP, halvings) for module in _within(block))
        halvings -= getattr(block, "upsamplers", None) is not None


def _within(block: Any) -> Iterator[Attention]:
    return (module for module in block.modules() if isinstance(module, Attention))


def _map_halvings(present: set[int], trained: int) -> int | None:
    """The grid on which the model's word maps are read: the nearest one that has text."""
    wanted = _MAP_HALVINGS
    while wanted > 0 and halved(trained, wanted) < _MAP_SIDE:
        wanted -= 1
    return min(present, key=lambda halvings: (abs(halvings - wanted), halvings), default=None)
