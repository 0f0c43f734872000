"""Protocols beside the attention call; what implements one is a control too.

An Objective edits latents by a gradient without a sampling loop of its own. With z the latents,
c = scale_model_input(1) and u = c z what the denoiser sees:

    dL/dz = c · dL/du        δ = −α · dL/dz
    the denoiser gets u + c·δ, the scheduler's step gets z + δ, once

which equals editing the latents before the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

from .call import Batch, Step
from .recorder import Maps

if TYPE_CHECKING:
    from .control import Control

__all__ = [
    "Condition",
    "Inputs",
    "LatentEdit",
    "Noting",
    "Objective",
    "Observer",
    "Refining",
    "Rehearsing",
    "Relative",
    "Selective",
    "Stretch",
]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the denoiser is called with.

    sample:  [B, C, h, w] latents, scaled for the denoiser, with further channels of inpainting.
    t:       [] or [B].
    context: [B, T, C'] text embeddings.
    """

    sample: Tensor
    t: Tensor | float
    context: Tensor


@runtime_checkable
class Condition(Protocol):
    """Other embeddings in a step: null-text inversion, prompt scheduling."""

    def apply(self, inputs: Inputs, step: Step, batch: Batch) -> Inputs:
        """The inputs of the denoiser for this step; `batch` says whose their rows are."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A loss on the word maps whose gradient moves the latents: A-STAR, Attend-and-Excite.

    Its attention verbs are asked only while the denoiser is called for that gradient.
    """

    def rate(self, step: Step) -> float:
        """α; 0 where the latents are left alone, which also spares the gradient."""
        ...

    def loss(self, maps: Maps, step: Step) -> Tensor:
        """[P·n], one for each picture, prompt-major, or their sum; from what it itself records.

        It may be asked several times in a step (`Refining`), each time for other latents.
        """
        ...


@runtime_checkable
class Refining(Objective, Protocol):
    """An objective that may look and move several times within a step; its losses are [P·n].

    The objectives that do not ask for it move once in that step, at the last look.
    """

    def again(self, losses: Tensor, step: Step, moves: int) -> Tensor:
        """[P·n] bool: pictures to move and look at once more before the step's own move."""
        ...


@runtime_checkable
class Relative(Objective, Protocol):
    """An objective whose α may be the length of δ as a part of the latents' own."""

    @property
    def relative(self) -> bool:
        """Whether it is: δ = −α |z| g / |g| for each picture, g = dL/dz."""
        ...


@runtime_checkable
class Selective(Objective, Protocol):
    """An objective that moves some conditional rows only, though others have a part in its loss."""

    def moved(self, batch: Batch) -> Sequence[int]:
        """Rows of the batch, all of them conditional, whose latents it may move."""
        ...


@runtime_checkable
class Rehearsing(Protocol):
    """A control that wants to know what the denoiser does by itself in a step: vanilla queries.

    On the step's own inputs it is called first under nothing but `watcher`; its result is dropped.
    """

    def rehearses(self, step: Step, batch: Batch) -> Sequence[int]:
        """Rows of the batch for which that is done; none = it is not done."""
        ...

    @property
    def watcher(self) -> Control:
        """Who looks on, and changes nothing."""
        ...


@runtime_checkable
class Observer(Protocol):
    """A control that is told what it recorded, after each step."""

    def observe(self, maps: Maps, step: Step) -> None:
        """The maps so far: means over the steps that are done."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A control that says for the receipt what it did, where that is no change of an edit."""

    def notes(self) -> tuple[str, ...]:
        """A sentence for each thing."""
        ...


@runtime_checkable
class LatentEdit(Protocol):
    """A change of the latents after a step: local blend."""

    def edit_latents(self, latents: Tensor, maps: Maps, step: Step) -> Tensor:
        """The latents [P·n, C, h, w] to go on with, prompt-major."""
        ...


@runtime_checkable
class Stretch(Protocol):
    """A control that changes the rotary positions of the whole run: NTK-aware scaling."""

    @property
    def theta_factor(self) -> float:
        """What their base is multiplied by; 1 = left alone."""
        ...
