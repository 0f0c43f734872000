"""How many query-key pairs our implementations of disc attention multiply, masked ones too."""

from __future__ import annotations

import torch

from ..kernels.blocks.plan import disc_plan
from ..kernels.blocks.settings import NEAR, arch_of, setting
from ..kernels.disc import DiscLayout
from ..kernels.disc.windows import strips
from .case import Case

__all__ = ["executed_pairs"]


def executed_pairs(case: Case) -> int | None:
    """Of one head, forward; None for the reference."""
    layout = DiscLayout.of([(case.text, *case.grid)], (0, case.text), case.radius)
    if case.kernels == "tiled":
        return _windows(layout)
    return _tiles(layout, case) if case.kernels == "triton" else None


def _windows(layout: DiscLayout) -> int:
    """Plain torch: each strip of queries by the key ranges it meets whole and by its windows."""
    pairs = 0
    for strip in strips(layout):
        queries = strip.grid[1] * strip.width
        pairs += queries * sum(length for _, length in strip.whole)
        for window in strip.windows:
            for run in window.rows:
                met = run.count * run.size * strip.width
                pairs += met * run.reached * window.columns.reached
    return pairs


def _tiles(layout: DiscLayout, case: Case) -> int:
    """Triton: each query tile by the tiles of its list, and by its ranges in blocks of `run`."""
    near = case.radius < NEAR
    chosen = setting("forward", case.head_dim, case.dtype.itemsize, near, _arch(case.device))
    plan = disc_plan(layout, chosen.own, chosen.other, False, torch.device("cpu"))
    start, _, stop, *ranges = plan.jobs[0].long().unbind(1)
    keys = (stop - start) * (chosen.other[0] * chosen.other[1])
    for first, last in zip(ranges[::2], ranges[1::2], strict=True):
        keys = keys + (last - first + chosen.run - 1) // chosen.run * chosen.run
    return int(keys.sum()) * chosen.own[0] * chosen.own[1]


def _arch(device: torch.device) -> int:
    return arch_of(torch.cuda.get_device_capability(device)) if device.type == "cuda" else 90
