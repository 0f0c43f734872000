"""Prompt-to-Prompt the way the authors' code does it: every map of every layer formed and edited.

Hertz et al. 2022 (arXiv:2208.01626); replacement and the source's layout. It is what ours must
equal, and what one pays without fused kernels. Knows one source, one edit and guidance in one
batch: rows are [uncond source, uncond edit, source, edit].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..processors.call import Kind, Site
from .formed import formed

__all__ = ["Method", "official"]


@dataclass
class Method:
    """token_map [N, N]; the first `cross` and `layout` steps are steered, layouts up to max_side.

    count: steps made so far; the call's `callback_on_step_end` is `stepped`.
    """

    token_map: Tensor
    cross: int
    layout: int
    max_side: int = 32
    count: int = field(default=0, init=False)

    def stepped(self, _pipe: object, step: int, _t: object, given: dict[str, Any]) -> Any:
        self.count = step + 1
        return given

    def edited(self, probs: Tensor, site: Site) -> Tensor:
        """The maps of all rows, in place."""
        cross = site.kind is Kind.CROSS
        if cross and self.count < self.cross:
            probs[3] = probs[2] @ self.token_map.to(probs)
        elif not cross and site.side <= self.max_side and self.count < self.layout:
            probs[3] = probs[2]
        return probs


@contextmanager
def official(pipe: Any, method: Method) -> Iterator[None]:
    """Runs the calls within the block that way; the processors are put back."""
    method.count = 0
    with formed(pipe, method.edited):
        yield
