"""Places of tokens as rotations of queries and keys, so that a key can be moved after the fact.

RoPE, Su et al. 2021 (arXiv:2104.09864), on the axes (picture, row, column) of FLUX and Qwen-Image:
channels 2j and 2j + 1 of an axis with dim channels turn by  place · theta^(−2j / dim). Rotations of
one plane add up, R(p + d) = R(d) R(p): a finished key moves by d when it is turned by d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Rotary"]


@dataclass(frozen=True)
class Rotary:
    """theta: base of the frequencies.    axes: channels of each axis, the last two rows, columns.

    centred: whether place 0 is in the middle of the grid; else it is its first row and column.
    """

    theta: float
    axes: tuple[int, ...]
    centred: bool = False

    def turned(self, x: Tensor, by: Tensor) -> Tensor:
        """x [..., K, D] moved by [K, 2] rows and columns, which need not be whole."""
        angles, by = [], by.to(x.device, torch.float64)
        for axis, size in enumerate(self.axes):
            exponents = torch.arange(0, size, 2, dtype=torch.float64, device=x.device) / size
            column = axis - len(self.axes) + 2
            moved = by[:, column] if column >= 0 else by.new_zeros(len(by))
            angles.append(moved[:, None] * self.theta**-exponents)
        wide = torch.promote_types(x.dtype, torch.float32)
        angle = torch.cat(angles, 1)
        cos, sin = angle.cos().to(wide), angle.sin().to(wide)
        real, imaginary = x.to(wide).unflatten(-1, (-1, 2)).unbind(-1)
        parts = (real * cos - imaginary * sin, real * sin + imaginary * cos)
        return torch.stack(parts, -1).flatten(-2).to(x.dtype)

    def places(self, grid: tuple[int, int]) -> Tensor:
        """[h·w, 2] fp32: rows and columns of a grid's tokens as the model counts them."""
        height, width = grid
        rows, columns = (
            torch.arange(n) - (n - n // 2 if self.centred else 0) for n in (height, width)
        )
        return torch.cartesian_prod(rows, columns).float()
