"""What the families of joint-attention transformers share: one denoiser class, blocks in a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from ..call import Batch, Grid, Kind, Site, Stage
from ..rotary import Rotary
from ..step import Inputs
from .family import Encoded, Keeps
from .rows import apart, only
from .schedulers import keeps

__all__ = ["Transformer"]


@dataclass(frozen=True)
class Transformer(ABC):
    """Guidance in calls of its own, latents packed 2 x 2 into tokens; families say what differs.

    kind:    the denoiser's class.
    stock:   the processor that its attention modules hold.
    batched: arguments of its forward with one entry, or none, for each row.
    timescale: the scheduler's timesteps by those that the denoiser reads.
    """

    name: ClassVar[str]
    kind: ClassVar[type[nn.Module]]
    stock: ClassVar[type]
    batched: ClassVar[frozenset[str]]
    apart: ClassVar[bool] = True
    padded: ClassVar[bool] = True
    joint: ClassVar[bool] = True
    timescale: ClassVar[int] = 1000
    carrier: ClassVar[type] = FlowMatchEulerDiscreteScheduler

    @property
    def arguments(self) -> Mapping[str, str]:
        return {"sample": "hidden_states", "t": "timestep", "context": "encoder_hidden_states"}

    def denoiser(self, pipe: Any) -> nn.Module | None:
        found = getattr(pipe, "transformer", None)
        return found if isinstance(found, self.kind) else None

    @abstractmethod
    def attentions(self, denoiser: Any) -> Iterator[tuple[Any, Kind, Stage, int]]:
        """Each module, what it is, and the number of its block in the order they run."""

    def scale(self, denoiser: Any) -> tuple[int, int]:
        """How often the latents are halved, and tokens a side at the trained size: 1024 px."""
        return 1, 64

    def rotary(self, denoiser: Any) -> Rotary | None:
        """How its attention knows places; None = it does not."""
        return None

    def sites(self, denoiser: Any) -> Sequence[tuple[Any, Site]]:
        """Word maps are read wherever there is text."""
        names = {module: name for name, module in denoiser.named_modules()}
        found = list(self.attentions(denoiser))
        halvings, side = self.scale(denoiser)
        blocks, rotary = 1 + max(block for *_, block in found), self.rotary(denoiser)
        return [
            (
                module,
                Site(
                    names[module],
                    self.name,
                    kind,
                    stage,
                    index,
                    halvings,
                    side,
                    has_text=kind is Kind.JOINT,
                    maps=kind is Kind.JOINT,
                    depth=block / blocks,
                    rotary=rotary,
                ),
            )
            for index, (module, kind, stage, block) in enumerate(found)
        ]

    def check(self, module: Any, site: Site) -> None:
        found = type(module.processor)
        if found is not self.stock:
            raise ValueError(
                f"pipe: {site.name} holds {found.__name__}; expected {self.stock.__name__} "
                "(IP-Adapter, PAG, fused and custom processors cannot be steered)"
            )
        if getattr(module, "fused_projections", False):
            raise ValueError(
                f"pipe: {site.name} has fused projections; call unfuse_qkv_projections() first"
            )
        if getattr(module.processor, "_parallel_config", None) is not None:
            raise ValueError(
                f"pipe: {site.name} shares its tokens among devices (context parallelism), and "
                "maps need all of them; expected a pipeline on one device"
            )

    def batch(self, encoded: Encoded, context: Tensor) -> Batch:
        return apart(encoded, context)

    def rows(self, asked: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        return only(asked, rows, self.batched)

    def latent_part(self, pipe: Any, inputs: Inputs, size: Grid) -> tuple[slice, ...]:
        height, width = size
        return slice(None), slice(0, height * width // 4), slice(0, _channels(pipe.transformer))

    def unpack(self, latents: Tensor, size: Grid) -> Tensor:
        height, width = size
        tokens = latents.unflatten(1, (height // 2, width // 2)).unflatten(-1, (-1, 2, 2))
        return tokens.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)

    def pack(self, latents: Tensor) -> Tensor:
        tokens = latents.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 4, 1, 3, 5)
        return tokens.flatten(3, 5).flatten(1, 2)

    def forward(
        self, denoiser: Any, sample: Tensor, t: Tensor, context: Tensor, added: Mapping[str, Any]
    ) -> Tensor:
        out: Tensor = denoiser(
            hidden_states=sample,
            timestep=t.expand(len(sample)).to(sample.dtype) / self.timescale,
            encoder_hidden_states=context,
            return_dict=False,
            **added,
        )[0]
        return out

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        return uncond + scale * (cond - uncond)

    def keeps(self, scheduler: Any) -> Keeps:
        return keeps(scheduler)


def _channels(transformer: Any) -> int:
    """Of a packed token's latents; what inpainting adds comes in but does not go out."""
    out = transformer.config.out_channels or transformer.config.in_channels
    patch: int = transformer.config.patch_size
    return int(out * patch * patch)
