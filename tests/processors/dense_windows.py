"""Local windows as a dense mask over the stock model's own attention. The oracle.

Knows nothing of the package: pairs are tried one by one, cells are averaged one by one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

__all__ = ["Masked"]


class Masked(TorchFunctionMode):
    """Stock attention with the rule of CLEAR as a dense mask, pooled keys and a scale."""

    def __init__(
        self, radius: float, grid: tuple[int, int], text_first: bool, f: int | None, factor: float
    ) -> None:
        super().__init__()
        self.radius, self.grid, self.text_first = radius, grid, text_first
        self.f, self.factor, self.calls = f, factor, 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False))
        given |= kwargs or {}
        q, k, v, mask = (given.get(n) for n in ("query", "key", "value", "attn_mask"))
        self.calls += 1
        height, width = self.grid
        N = q.shape[2]
        start = N - height * width if self.text_first else 0
        places = [(y, x) for y in range(height) for x in range(width)]
        sees = torch.ones(N, N, dtype=torch.bool)
        for i, (y, x) in enumerate(places):
            for j, (v_, w) in enumerate(places):
                near = (y - v_) ** 2 + (x - w) ** 2 < self.radius**2
                sees[start + i, start + j] = near
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
        return func(q, k, v, attn_mask=sees, scale=q.shape[-1] ** -0.5 * self.factor)
