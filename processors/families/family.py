"""What the engine must know of a family of models: a few facts and a few questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from torch import Tensor, nn

from ..call import Batch, Grid, Segments, Site
from ..control import Context
from ..prompts import TextBlock
from ..step import Inputs
from ..tensors import Tensors

__all__ = ["Encoded", "Family", "Keeps", "Live"]


class Keeps(Enum):
    """When a scheduler carries a change of the latents on to the end."""

    EVERY_STEP = "at every step"
    COMPLETED_STEPS = "at completed steps"
    NEVER = "never"


@dataclass(frozen=True, eq=False)
class Encoded:
    """What `encode_prompt` was asked and what it gave.

    texts:  one a prompt; None when embeddings came instead.
    images: pictures of each prompt.
    cond:   [P·n, T, C] embeddings, prompt-major.
    uncond: the same of the negative prompts; None without guidance, or while it is not encoded.
    """

    texts: tuple[str, ...] | None
    images: int
    cond: Tensor
    uncond: Tensor | None

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        return self.cond.shape[0] // self.images


class Live(Protocol):
    """What a processor asks of the run that it serves."""

    @property
    def latents(self) -> Grid:
        """(height, width) of the latents in the denoiser's present call."""
        ...

    @property
    def texts(self) -> int:
        """T, positions of the text axis in that call."""
        ...

    def states(
        self, site: Site, hidden: Tensor, text: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What came to a site, [B, N, C] and [B, T, C'], with that of remembered rows before it.

        Asked first of all; `attend` then gives the call's own rows alone.
        """
        ...

    def acts(self, site: Site) -> bool:
        """Whether a control acts there now."""
        ...

    def context(self, site: Site, text: Tensor) -> Context:
        """What keys and values are to be projected from, given the text [B, T, C]."""
        ...

    def attend(
        self,
        site: Site,
        tensors: Tensors,
        *,
        queries: Segments,
        keys: Segments,
        bias: Tensor | None,
    ) -> Tensor:
        """The controlled attention, [B, H, N, D]."""
        ...


class Family(Protocol):
    """One kind of model."""

    @property
    def name(self) -> str:
        """What messages and sites call it."""
        ...

    @property
    def arguments(self) -> Mapping[str, str]:
        """Fields of `step.Inputs` and how the denoiser's forward calls them."""
        ...

    @property
    def apart(self) -> bool:
        """Whether guidance has calls of its own, of `encode_prompt` and of the denoiser."""
        ...

    @property
    def padded(self) -> bool:
        """Whether all texts have as many tokens when the denoiser reads them."""
        ...

    def denoiser(self, pipe: Any) -> nn.Module | None:
        """The module that is called at each step; None when the pipeline is of another family."""
        ...

    def sites(self, denoiser: Any) -> Sequence[tuple[Any, Site]]:
        """Its attention modules."""
        ...

    def check(self, module: Any, site: Site) -> None:
        """ValueError when the site holds something that cannot be steered."""
        ...

    def size(self, asked: Mapping[str, Any]) -> Grid:
        """(height, width) of the latents, from the arguments of the denoiser's forward."""
        ...

    def processor(self, module: Any, site: Site, live: Live) -> Any:
        """What shall stand in the place of `module.processor`."""
        ...

    def encoded(self, pipe: Any, asked: Mapping[str, Any], given: Any) -> Encoded:
        """Reads the arguments and the result of `encode_prompt`."""
        ...

    def blocks(self, pipe: Any, length: int) -> tuple[TextBlock, ...]:
        """Who fills the text axis of `length` positions."""
        ...

    def batch(self, encoded: Encoded, context: Tensor) -> Batch:
        """Whose the rows of a denoiser call are, given its text embeddings."""
        ...

    def rows(self, asked: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Arguments of the denoiser's forward for some rows of the batch only."""
        ...

    def latent_part(self, pipe: Any, inputs: Inputs, size: Grid) -> tuple[slice, ...]:
        """Where the latents are in the sample; others put channels or tokens behind them."""
        ...

    def unpack(self, latents: Tensor, size: Grid) -> Tensor:
        """[B, C, h, w], of latents as the scheduler has them."""
        ...

    def pack(self, latents: Tensor) -> Tensor:
        """Back again."""
        ...

    def forward(
        self, denoiser: Any, sample: Tensor, t: Tensor, context: Tensor, added: Mapping[str, Any]
    ) -> Tensor:
        """One call of the denoiser, as the family's pipelines make it; added: its other inputs."""
        ...

    def guided(self, cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
        """What the family's pipelines make of the two predictions."""
        ...

    @property
    def joint(self) -> bool:
        """Whether text and picture are read together, in one softmax."""
        ...

    @property
    def carrier(self) -> type:
        """A scheduler that carries edits of the latents on, made from another one's config."""
        ...

    def keeps(self, scheduler: Any) -> Keeps:
        """Whether edits of the latents survive this scheduler."""
        ...
