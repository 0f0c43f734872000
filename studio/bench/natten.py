"""NATTEN's sliding window over the image tokens, where it is installed: the nearest public kernel.

Its window is a square and moves inwards at the borders, so it computes something else than a disc.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .case import Case
from .contender import Contender, absent

__all__ = ["natten"]


def natten(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """Neighbourhood attention of the image queries, with the text as additional keys."""
    name = "NATTEN"
    try:
        library: Any = importlib.import_module("natten")
    except ImportError:
        return [absent(name, "natten is not installed")]
    side = 2 * round((case.radius * math.sqrt(math.pi) - 1) / 2) + 1  # odd, of the disc's area
    window = tuple(max(1, min(side, length - 1 + length % 2)) for length in case.grid)
    q, k, v = (
        x[:, :, case.text :].unflatten(2, case.grid).permute(0, 2, 3, 1, 4).contiguous()
        for x in given
    )
    text = tuple(x[:, :, : case.text].transpose(1, 2).contiguous() for x in given[1:])

    def attend(q: Tensor, k: Tensor, v: Tensor, *text: Tensor) -> Tensor:
        extra = dict(zip(("additional_keys", "additional_values"), text, strict=False))
        out: Tensor = library.na2d(q, k, v, kernel_size=window, **extra)
        return out

    note = f"another operator: square window {window[0]}x{window[1]}, no text queries"
    inputs = (q, k, v, *(text if case.text else ()))
    return [Contender(f"{name} {library.__version__}", attend, inputs, same=False, note=note)]
