"""One way to do the work of a case, or the reason why it is not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Contender", "absent"]


@dataclass(frozen=True, eq=False)
class Contender:
    """attend(*inputs) is what is timed; whatever else it needs was made before.

    attend:   None = not run, and note says why.
    inputs:   q, k, v, maybe in another order of tokens or with fewer query rows.
    same:     whether it computes what the suite is about, and so must agree with the reference.
    restore:  index that brings the tokens of output and gradients back into the case's order.
    share:    part of the work that is done; times are divided by it.
    executed: query-key pairs that a head multiplies, masked ones too; None = unknown.
    note:     marks what is no plain measurement; goes into the row.
    """

    name: str
    attend: Callable[..., Tensor] | None
    inputs: tuple[Tensor, ...] = ()
    same: bool = True
    restore: Tensor | None = None
    share: float = 1.0
    executed: int | None = None
    note: str = ""


def absent(name: str, why: str) -> Contender:
    """An empty cell with its reason."""
    return Contender(name, None, note=f"not measured: {why}")
