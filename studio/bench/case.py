"""One thing to measure: the shape of an attention call, its precision and its device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Case", "Impl"]

Impl = Literal["auto", "reference", "tiled", "triton"]

SMALL_GRID, SMALL_TEXT, SMALL_RADIUS = (24, 48), 21, 6.0


@dataclass(frozen=True)
class Case:
    """Text first, then one image grid in raster order, as in FLUX.

    grid:       (height, width) in tokens.       text: tokens.
    radius:     of the disc, in tokens.          heads, head_dim, batch: of q, k and v.
    impl:       of our kernels: auto, tiled, triton or reference.
    against:    names of what runs beside them, of suites.AGAINST.
    dense_rows: time dense attention on so many query rows only and scale; 0 = on all.
    """

    grid: tuple[int, int]
    text: int
    radius: float
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    batch: int = 1
    backward: bool = False
    impl: Impl = "auto"
    against: tuple[str, ...] = ()
    dense_rows: int = 0

    def __post_init__(self) -> None:
        for name in ("grid", "heads", "head_dim", "batch"):
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,)) < 1:
                raise ValueError(f"{name}: {value} came; expected at least 1")
        if self.text < 0 or self.dense_rows < 0:
            raise ValueError(
                f"text, dense_rows: {self.text}, {self.dense_rows} came; expected at least 0"
            )

    @property
    def image(self) -> int:
        """Tokens of the image."""
        return self.grid[0] * self.grid[1]

    @property
    def tokens(self) -> int:
        """Tokens of image and text."""
        return self.image + self.text

    @property
    def kernels(self) -> Impl:
        """What `auto` stands for here, else impl."""
        if self.impl != "auto":
            return self.impl
        return "triton" if self.device.type == "cuda" else "tiled"

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v [B, H, N, D], normal and always the same: zeros would run faster on GPUs."""
        draw = torch.Generator(self.device).manual_seed(0)
        shape = (self.batch, self.heads, self.tokens, self.head_dim)
        q, k, v = (
            torch.randn(shape, generator=draw, device=self.device, dtype=torch.float32)
            for _ in range(3)
        )
        return q.to(self.dtype), k.to(self.dtype), v.to(self.dtype)

    def small(self) -> Case:
        """The same on a grid small enough for the reference in fp64."""
        return replace(
            self,
            grid=SMALL_GRID,
            text=min(self.text, SMALL_TEXT),
            radius=min(self.radius, SMALL_RADIUS),
            heads=min(self.heads, 2),
            dense_rows=0,
        )
