"""Starts the forward kernels: outputs, strides, constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import inputs
from ..ahead import OPTIONS
from ..inputs.triton import interprets
from . import triton as kernels
from .plan import Plan, parts_of
from .settings import Setting, arch_of, block_of

__all__ = [
    "LOG2E", "ROWS", "Rule", "arch", "by_rows", "constants", "forward", "launched", "run", "step",
]  # fmt: skip

LOG2E = 1 / math.log(2)
ROWS = 32  # of a program of the small kernels


@dataclass(frozen=True, eq=False)
class Rule:
    """What decides in tiles met in part: the disc, if `limit` is given; the bits, if they are.

    limit: of dy² + dx².  see: int32 [1 or B, N], own: int32 [1 or B, S].
    """

    limit: int | None = None
    see: Tensor | None = None
    own: Tensor | None = None


def arch(device: torch.device) -> int:
    """The column of the settings for a device; the interpreter, on a CPU, plays a 90."""
    return arch_of(torch.cuda.get_device_capability(device)) if device.type == "cuda" else 90


def constants(
    head_dim: int, setting: Setting, plan: tuple[bool, bool], rule: tuple[bool, bool], bias: bool
) -> dict[str, object]:
    """What a kernel is specialised on. plan: first and second ranges; rule: disc and bits."""
    return {
        "D": head_dim,
        "BLOCK_D": block_of(head_dim),
        "OH": setting.own[0],
        "OW": setting.own[1],
        "TH": setting.other[0],
        "TW": setting.other[1],
        "RUN": setting.run,
        "RUN_STAGES": setting.stages[0],
        "TILE_STAGES": setting.stages[1],
        "RANGES": plan[0],
        "SECOND": plan[1],
        "DISC": rule[0],
        "BITS": rule[1],
        "BIAS": bias,
        "PIECE": setting.piece,
        "PRECISION": setting.precision,
        "EMULATE": False,
    }


def launched(
    q: Tensor, setting: Setting, plan: Plan, rule: Rule, bias: Tensor | None
) -> dict[str, object]:
    """Constants and launch options for these tensors."""
    rules = (rule.limit is not None, rule.see is not None)
    chosen = constants(q.shape[3], setting, (plan.ranges, plan.second), rules, bias is not None)
    chosen["EMULATE"] = q.dtype == torch.bfloat16 and interprets()
    return {**chosen, "num_warps": setting.warps, "num_stages": setting.stages[1]}


def by_rows(head_dim: int) -> dict[str, int]:
    """Constants and launch options of the small kernels, a few rows each."""
    shape = {"D": head_dim, "BLOCK_D": block_of(head_dim), "ROWS": ROWS}
    return {**shape, "num_warps": 4, "num_stages": 2}


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: Plan,
    setting: Setting,
    scale: float,
    bias: Tensor | None,
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    """out in q's type, lse [B, H, N] fp32, both contiguous."""
    B, H, N, D = q.shape
    rows, owners = setting.own[0] * setting.own[1], plan.own.shape[0]
    out, lse = inputs.empty_outputs(q)
    parts = parts_of(plan, N, setting.run, B * H)
    padded = plan.split * rows
    part_out = lse.new_empty(parts, B * H, padded, block_of(D))
    part_lse = lse.new_empty(parts, B * H, padded)
    see, own = (plan.jobs if x is None else x for x in (rule.see, rule.own))
    weights = lse if bias is None else bias
    programs = (plan.split * parts + owners - plan.split) * B * H
    given = (
        *(q, k, v, out, lse, part_out, part_lse, weights, see, own),
        *(plan.own, plan.other, plan.entries, plan.jobs),
        *(*q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3]),
        *(*weights.stride(), step(see), step(own), step(plan.jobs)),
        *(H, B * H, N, owners, plan.split, parts, scale * LOG2E, float(rule.limit or 0)),
    )
    run(kernels.forward_kernel, (programs,), given, launched(q, setting, plan, rule, bias))
    for offset, length in plan.runs:
        run(
            kernels.merge_kernel,
            (-(-length // ROWS), B * H),
            (
                *(part_out, part_lse, out, lse, *out.stride()[:3]),
                *(H, B * H, N, offset, length, parts, padded),
            ),
            by_rows(D),
        )
    return out, lse


def run(
    kernel: Any, grid: tuple[int, ...], given: tuple[Any, ...], options: Mapping[str, object]
) -> None:
    """Launches on the device of the first argument, which need not be the current one."""
    with torch.cuda.device_of(given[0]):
        kernel[grid](*given, **options, **OPTIONS)


def step(x: Tensor) -> int:
    """Stride of the batch; 0 when all share one."""
    return x.stride(0) if x.shape[0] > 1 else 0
