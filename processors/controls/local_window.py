"""Local windows: an image token sees the text and a disc of the image, so cost grows linearly.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112). An image query at token (y, x) sees all text keys
and the image keys (y', x') with (y − y')² + (x − x')² < radius²; text queries see everything. The
variant for small radii adds the means of cells of f × f keys and of their values, taken after the
rotary positions, which every image query sees and no text query:

    k_c = sum over the cell of w k        v_c alike, w [f, f] learned, 1/f² at first

For pictures larger than the model was trained on:

    scale = sqrt(log_n0(n) / D)    n: tokens of the call, 10 n with pooled keys (as in the code,
                                   which gives no reason); n0: tokens at the trained size
    theta ← ntk · theta            the base of the rotary positions

ours: `during` and `blocks`, by which first steps or blocks stay dense, as sparse attention without
training needs it. Weights trained with the window: `pipelines.load_clear`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, log, sqrt
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Call, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..mask import Mask, Window
from ..tensors import Given
from .blocks import within

__all__ = ["LocalWindow", "Scale", "pooled_keys"]

Scale = Literal["plain", "proportional"]

_POOLED = 10  # the authors' factor of n where keys are pooled


@dataclass(frozen=True, eq=False)
class LocalWindow(Control):
    """For every row: windows are a property of the model's run, not of one prompt.

    Differs from other controls: the source of an edit is drawn with windows too.

    radius:   of the disc in tokens; the published weights are for 8, 16 and 32.
    late:     ours: that of the second half of the steps; None = the same. What a picture holds is
              decided in the first half, see `benchmarks/results/evaluate_clear.md`.
    pooled:   f, the side of a cell; None = no pooled keys. Published: 4, for radii 8 and 16.
    weights:  w [f, f] of each site by its name; sites without one have 1/f².
    scale:    "proportional" for pictures larger than the trained size; where it has windows.
    ntk:      factor of theta in every step, also dense ones; only FLUX. The authors' for 2K: 10.
    trained:  tokens on a side at the trained size; None = the family's, 64 for 1024 px.
    during, blocks: the part of the denoising and of the network's depth that has windows.
    """

    radius: float = 16.0
    pooled: int | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    scale: Scale = "plain"
    ntk: float = 1.0
    trained: int | None = None
    during: Interval = Interval()
    blocks: Interval = Interval()
    late: float | None = None
    rows: Rows = field(default=Rows.ALL, kw_only=True)

    def __post_init__(self) -> None:
        for name, radius in (("radius", self.radius), ("late", self.late)):
            if radius is not None and not 0 < radius < inf:
                raise ValueError(f"{name}: came {radius}; expected more than 0 tokens, finite")
        if self.pooled is not None and self.pooled < 2:
            raise ValueError(f"pooled: came {self.pooled}; expected cells of 2 or more tokens")
        if self.scale not in ("plain", "proportional"):
            raise ValueError(f"scale: came {self.scale!r}; expected 'plain' or 'proportional'")
        if self.rows is not Rows.ALL:
            raise ValueError(f"rows: came {self.rows}; expected all, since a window is the run's")

    def bind(self, prompts: Prompts) -> LocalWindow | None:
        return None if self.during.empty or self.blocks.empty else self

    def departs(self, prompt: int) -> bool:
        return False

    @property
    def theta_factor(self) -> float:
        """Of the rotary positions' base, in the whole run."""
        return 1.0 if self.during.empty or self.blocks.empty else self.ntk

    def acts(self, site: Site, step: Step) -> bool:
        if site.depth is None:
            raise ValueError(
                "controls: local_window is for transformers that have one token grid from end to "
                "end; expected a model of the family of FLUX, Stable Diffusion 3 or Qwen-Image"
            )
        return self.during.active(step) and within(site, self.blocks)

    def tokens(self, call: Call) -> Call:
        found = self.factor(call.site, call.texts, call.shape[2], call.v.shape[-1])
        call = call if found is None else replace(call, scale=found)
        if self.pooled is None:
            return call
        image, grid = call.keys.image, call.queries.grid
        if call.keys.coarse is not None or call.keys.reference is not None:
            raise ValueError(
                f"controls: local_window pools the keys of {call.site.name}, to which another "
                "control or the model adds keys; expected pooled keys of one local_window alone"
            )
        assert image is not None and grid is not None
        given = self.weights.get(call.site.name)
        weight = torch.full((self.pooled,) * 2, self.pooled**-2.0) if given is None else given
        k, v = (pooled_keys(x[:, :, image], grid, weight) for x in (call.k, call.v))
        coarse = slice(call.shape[3], call.shape[3] + k.shape[2])
        bias = None if call.bias is None else F.pad(call.bias, (0, k.shape[2]))
        return replace(
            call,
            tensors=Given(call.q, torch.cat([call.k, k], 2), torch.cat([call.v, v], 2)),
            keys=replace(call.keys, coarse=coarse),
            bias=bias,
        )

    def mask(self, call: Call) -> Mask:
        return Mask.of(Window(self.reach(call.step)))

    def reach(self, step: Step) -> float:
        """The radius in this step."""
        return self.radius if self.late is None or step.progress < 0.5 else self.late

    def factor(self, site: Site, texts: int, tokens: int, channels: int) -> float | None:
        """Of q·k for a sequence of so many tokens, `texts` of them text; None = the model's own."""
        if self.scale == "plain":
            return None
        side = site.side if self.trained is None else self.trained
        counted = tokens * (1 if self.pooled is None else _POOLED)
        found = log(counted, side * side + texts)
        return None if found == 1 else sqrt(found / channels)


def pooled_keys(x: Tensor, grid: tuple[int, int], weight: Tensor) -> Tensor:
    """Weighted sums over cells, [B, H, h/f · w/f, D] of x [B, H, h · w, D] by weight [f, f].

    ValueError where the cells do not fill the grid.
    """
    side = len(weight)
    if grid[0] % side or grid[1] % side:
        raise ValueError(
            f"pooled: came cells of {side} x {side} for a grid of {grid[0]} x {grid[1]} tokens; "
            "expected sides that the cells fill"
        )
    cells = x.unflatten(2, (grid[0] // side, side, grid[1] // side, side))
    return torch.einsum("bhyixjd,ij->bhyxd", cells, weight.to(x)).flatten(2, 3)
