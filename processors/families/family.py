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
    uncond: the same of the negative prompts; None without guidance.
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

    def denoiser(self, pipe: Any) -> nn.Module | None:
        """The module that is called at each step; None when the pipeline is of another family."""
        ...

    def sites(self, denoiser: Any) -> Sequence[tuple[Any, Site]]:
        """Its attention modules."""
        ...

    def check(self, module: Any, site: Site) -> None:
        """ValueError when the site holds something that cannot be steered."""
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

    def latent_channels(self, pipe: Any) -> int:
        """How many of the sample's channels are latents; inpainting adds others behind them."""
        ...

    def keeps(self, scheduler: Any) -> Keeps:
        """Whether edits of the latents survive this scheduler."""
        ...
