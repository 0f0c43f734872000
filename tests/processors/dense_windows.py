"""Local windows as a dense mask over the stock model's own attention. The oracle.

Knows nothing of the package: pairs are tried one by one, cells are averaged one by one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .dense_mode import DenseMode

__all__ = ["Masked"]


class Masked(DenseMode):
    """Stock attention with the rule of CLEAR as a dense mask, pooled keys and a scale."""

    def __init__(
        self, radius: float, grid: tuple[int, int], text_first: bool, f: int | None, factor: float
    ) -> None:
        super().__init__()
        self.radius, self.grid, self.text_first = radius, grid, text_first
        self.f, self.factor, self.calls = f, factor, 0
        self._near: dict[int, Tensor] = {}

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        self.calls += 1
        height, width = self.grid
        N = q.shape[2]
        start = N - height * width if self.text_first else 0
        places = [(y, x) for y in range(height) for x in range(width)]
        if N not in self._near:
            self._near[N] = self._table(N, start, places)
        sees = self._near[N]
        if self.f is not None:
            ks, vs = [], []
            for top in range(0, height, self.f):
                for left in range(0, width, self.f):
                    cell = [
                        start + places.index((top + a, left + b))
                        for a in range(self.f)
                        for b in range(self.f)
                    ]
                    ks.append(k[:, :, cell].mean(2))
                    vs.append(v[:, :, cell].mean(2))
            k, v = (torch.cat([x, torch.stack(more, 2)], 2) for x, more in ((k, ks), (v, vs)))
            of_image = torch.zeros(N, len(ks), dtype=torch.bool)
            of_image[start : start + height * width] = True
            sees = torch.cat([sees, of_image], 1)
            if mask is not None:
                mask = F.pad(mask.expand(-1, -1, -1, N), (0, len(ks)), value=True)
        sees = sees if mask is None else sees & mask
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=sees, scale=q.shape[-1] ** -0.5 * self.factor
        )

    def _table(self, N: int, start: int, places: list[tuple[int, int]]) -> Tensor:
        """Who is near whom; the same in each of the model's calls with so many tokens."""
        sees = torch.ones(N, N, dtype=torch.bool)
        for i, (y, x) in enumerate(places):
            for j, (v, w) in enumerate(places):
                sees[start + i, start + j] = (y - v) ** 2 + (x - w) ** 2 < self.radius**2
        return sees
