"""One way a Triton kernel is launched: types, constants and tiles, without importing Triton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["OPTIONS", "Specialization"]

# Of every kernel, where it is checked and where it is launched. Triton fuses a·b + c only if asked.
OPTIONS: Mapping[str, Any] = MappingProxyType({"enable_fp_fusion": True})


@dataclass(frozen=True, eq=False)
class Specialization:
    """What `triton.compile` must know; a launcher reads its tiles from where this came from.

    name:       unique among all, e.g. "disc forward bf16 d128 8x16/8x16"; a row of the figures.
    kernel:     the `@triton.jit` function.
    signature:  argument -> "*bf16", "*i32", "i32", "fp32" or "constexpr", in the kernel's order.
    constexprs: value of every argument whose type is "constexpr".
    divisible:  arguments the launcher always passes as multiples of 16 (pointers: of 16 bytes).
    attention:  whether it multiplies matrices: tensor cores and asynchronous copies are required.
    arches:     compute capabilities, 80 = A100, 90 = H100 and H200.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    constexprs: Mapping[str, Any] = field(default_factory=dict)
    divisible: tuple[str, ...] = ()
    num_warps: int = 4
    num_stages: int = 2
    attention: bool = True
    arches: tuple[int, ...] = (80, 90)

    def __post_init__(self) -> None:
        constant = {name for name, kind in self.signature.items() if kind == "constexpr"}
        if constant != set(self.constexprs):
            raise ValueError(
                f"constexprs: {sorted(self.constexprs)} came; {self.name} declares the constants "
                f"{sorted(constant)}"
            )
        unknown = set(self.divisible) - (set(self.signature) - constant)
        if unknown:
            raise ValueError(
                f"divisible: {sorted(unknown)} came; {self.name} takes {[*self.signature]}, of "
                f"which constants cannot be listed"
            )
