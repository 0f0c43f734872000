"""One attention call as a control sees it: the tensors, and where, when and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

import torch
from torch import Tensor

from .rotary import Rotary
from .tensors import Given, Looks, Tensors

__all__ = [
    "Batch",
    "Call",
    "Grid",
    "Kind",
    "Role",
    "Row",
    "Rows",
    "Segments",
    "Site",
    "Stage",
    "Step",
    "halved",
]

Grid = tuple[int, int]
"""(height, width) in tokens."""


def halved(side: int, times: int) -> int:
    """A side after convolutions of stride 2 and padding 1: each rounds up."""
    return -(-side // 2**times)


class Kind(Enum):
    """Which tokens look at which: image at image, image at text, or both at both."""

    SELF = "self"
    CROSS = "cross"
    JOINT = "joint"


class Stage(Enum):
    """The part of the denoiser: a UNet's way down, bottom, way up; a transformer's two streams."""

    DOWN = "down"
    MID = "mid"
    UP = "up"
    DOUBLE = "double"
    SINGLE = "single"


@dataclass(frozen=True)
class Site:
    """Where: one attention module of the denoiser.

    name:  dotted name of the module.
    index: position among the sites, in the order the modules are listed (not that of execution).
    halvings: how often the latents' sides were halved (rounding up) on the way to it.
    side:  tokens on the longer side of its grid at the size the model was trained at.
    maps:  whether word maps are read here: it has text, and the grid that the model declares.
    depth: part of a transformer's blocks that run before it, in [0, 1); None in a UNet.
    rotary: how queries and keys are turned by their places; None where attention knows no places.
    """

    name: str
    family: str
    kind: Kind
    stage: Stage
    index: int
    halvings: int
    side: int
    has_text: bool
    maps: bool
    depth: float | None = None
    rotary: Rotary | None = None

    def grid(self, latents: Grid) -> Grid:
        """The site's image grid, for latents of this (height, width)."""
        height, width = latents
        return halved(height, self.halvings), halved(width, self.halvings)


@dataclass(frozen=True, eq=False)
class Step:
    """When, within the sampling loop of one run.

    index: sampler steps that are complete.
    call:  scheduler steps made so far; Heun-type samplers make two to complete one.
    count: sampler steps this run makes in all (an image-to-image run makes fewer than asked).
    t:     the denoiser's own timestep, [] or [B], on its device.
    """

    index: int
    call: int
    count: int
    t: Tensor | float

    @property
    def progress(self) -> float:
        """The part of the run that is done, in [0, 1)."""
        return self.index / self.count


class Role(Enum):
    """What guidance wants of a row; OTHER is a call that no control may touch."""

    COND = "cond"
    UNCOND = "uncond"
    OTHER = "other"


class Rows(Enum):
    """For which rows a control holds: the conditional edits, all conditional rows, or every row."""

    COND_EDIT = "cond_edit"
    COND = "cond"
    ALL = "all"


@dataclass(frozen=True)
class Row:
    """Whose a row is: prompt 0 is the source, later ones are edits; `image` of that prompt."""

    prompt: int
    image: int
    role: Role


@dataclass(frozen=True)
class Batch:
    """The rows of one call. Families make it; nothing else knows how guidance is laid out.

    twins: prompts that are the source word for word and have nothing to be led away by: the same
           rows from the same noise, so that leaving them alone keeps them the source bit for bit.
    idle:  so many rows, the first ones, are remembered (`memory`): others may look at them, and
           what comes out for them is zeros.
    """

    rows: tuple[Row, ...]
    twins: frozenset[int] = frozenset()
    idle: int = 0

    def select(self, rows: Rows) -> tuple[int, ...]:
        """Indices of the rows that `rows` means."""
        chosen = {Rows.COND_EDIT: self.edits, Rows.COND: self.cond, Rows.ALL: self.every}
        return chosen[rows]

    @cached_property
    def every(self) -> tuple[int, ...]:
        """All rows but those of an unknown call."""
        return tuple(i for i, row in enumerate(self.rows) if row.role is not Role.OTHER)

    @cached_property
    def cond(self) -> tuple[int, ...]:
        """Conditional rows, source and edits."""
        return tuple(i for i, row in enumerate(self.rows) if row.role is Role.COND)

    @cached_property
    def edits(self) -> tuple[int, ...]:
        """Conditional rows of every prompt but the first and its twins."""
        return tuple(i for i in self.cond if self.rows[i].prompt not in {0, *self.twins})

    def source_of(self, row: int) -> int:
        """The row of the source prompt with the same image and role."""
        return self._sources[row]

    @cached_property
    def _sources(self) -> dict[int, int]:
        first = {(row.image, row.role): i for i, row in enumerate(self.rows) if row.prompt == 0}
        return {i: first[row.image, row.role] for i, row in enumerate(self.rows)}

    def row_of(self, prompt: int, image: int) -> int:
        """The conditional row of one picture."""
        return self.rows.index(Row(prompt, image, Role.COND))

    def beside(self, row: int, prompt: int) -> int:
        """The row of another prompt with the same image and role."""
        return self.rows.index(replace(self.rows[row], prompt=prompt))


@dataclass(frozen=True)
class Segments:
    """What the positions of a row (or the columns) mean; a part that is absent is None.

    grid: shape of the image part, in tokens.
    """

    image: slice | None = None
    text: slice | None = None
    reference: slice | None = None
    coarse: slice | None = None
    grid: Grid | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One attention call.

    tensors: q, k and v; to ask for `q` or `k` has those of every row projected.
    scale:   factor of q·k; None = 1/sqrt(D).
    bias:    [B, H or 1, N or 1, S], the model's own additive mask.
    """

    tensors: Tensors
    site: Site
    step: Step
    batch: Batch
    queries: Segments = field(default_factory=Segments)
    keys: Segments = field(default_factory=Segments)
    scale: float | None = None
    bias: Tensor | None = None

    @property
    def q(self) -> Tensor:
        """[B, H, N, D]."""
        return self.looks(range(self.shape[0])).q

    @property
    def k(self) -> Tensor:
        """[B, H, S, D]."""
        return self.looks(range(self.shape[0])).k

    @property
    def v(self) -> Tensor:
        """[B, H, S, D]."""
        return self.tensors.v

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, H, N, S), known without a projection of q and k."""
        B, H, S, _ = self.v.shape
        return B, H, self.tensors.queries, S

    @property
    def texts(self) -> int:
        """T, how many of the keys are text."""
        text = self.keys.text
        return 0 if text is None else text.stop - text.start

    @property
    def device(self) -> torch.device:
        """Of all its tensors."""
        return self.v.device

    def looks(self, rows: Sequence[int]) -> Looks:
        """Queries and keys of these rows, maybe of more."""
        return self.tensors.looks(rows)

    def unasked(self) -> list[Tensor]:
        """What comes out for idle rows, [idle, H, N, D]; none where there are none."""
        _, H, N, _ = self.shape
        idle = self.batch.idle
        return [self.v.new_zeros(idle, H, N, self.v.shape[-1])] if idle else []

    def with_tokens(self, q: Tensor, k: Tensor, v: Tensor) -> Call:
        """The same call with other tensors."""
        return replace(self, tensors=Given(q, k, v))
