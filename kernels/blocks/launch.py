"""Starts the kernels: outputs, strides, constants."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import triton as kernels
from .plan import Plan, parts_of
from .settings import Setting, arch_of, block_of

__all__ = ["arch", "constants", "forward"]

LOG2E = 1 / math.log(2)


def arch(device: torch.device) -> int:
    """The column of the settings for a device; the interpreter, on a CPU, plays a 90."""
    return arch_of(torch.cuda.get_device_capability(device)) if device.type == "cuda" else 90


def constants(
    plan: Plan, setting: Setting, q: Tensor, disc: bool, bits: bool, bias: bool
) -> dict[str, object]:
    """What forward and backward kernels are specialised on."""
    emulate = q.dtype == torch.bfloat16 and kernels.interpreted()
    return {
        "D": q.shape[3],
        "BLOCK_D": block_of(q.shape[3]),
        "OH": setting.own[0],
        "OW": setting.own[1],
        "TH": setting.other[0],
        "TW": setting.other[1],
        "RUN": setting.run,
        "RUN_STAGES": setting.stages[0],
        "TILE_STAGES": setting.stages[1],
        "RANGES": plan.ranges,
        "SECOND": plan.second,
        "DISC": disc,
        "BITS": bits,
        "BIAS": bias,
        "PRECISION": "tf32" if torch.get_float32_matmul_precision() != "highest" else "ieee",
        "EMULATE": emulate,
        "num_warps": setting.warps,
        "num_stages": setting.stages[1],
    }


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    plan: Plan,
    setting: Setting,
    scale: float,
    bias: Tensor | None = None,
    bits: tuple[Tensor, Tensor] | None = None,
    disc: tuple[float, tuple[int, int]] | None = None,
) -> tuple[Tensor, Tensor]:
    """out in q's type and layout, lse [B, H, N] fp32.

    bits: see [1 or B, N], own [1 or B, S].  disc: limit of dy² + dx² and the run of text queries.
    """
    B, H, N, D = q.shape
    rows = setting.own[0] * setting.own[1]
    out = torch.empty_like(q)
    lse = q.new_empty(B, H, N, dtype=torch.float32)
    parts = parts_of(plan, N, setting.run, B * H)
    padded = plan.runs * rows
    part_out = lse.new_empty(parts, B * H, padded, block_of(D))
    part_lse = lse.new_empty(parts, B * H, padded)
    limit, text = disc or (0.0, (0, 0))
    see, own = bits or (plan.jobs, plan.jobs)
    weights = lse if bias is None else bias
    owners = plan.own.shape[0]
    kernels.forward_kernel[((plan.runs * parts + owners - plan.runs) * B * H,)](
        *(q, k, v, out, lse, part_out, part_lse, weights, see, own),
        *(plan.own, plan.other, plan.entries, plan.jobs),
        *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *out.stride()[:3],
        *weights.stride(), _step(see), _step(own), _step(plan.jobs),
        *(H, B * H, N, owners, plan.runs, parts, scale * LOG2E, limit),
        **constants(plan, setting, q, disc is not None, bits is not None, bias is not None),
    )  # fmt: skip
    if plan.runs:
        block = 32
        kernels.merge_kernel[(-(-text[1] // block), B * H)](
            *(part_out, part_lse, out, lse, *out.stride()[:3]),
            *(H, B * H, N, *text, parts, padded),
            D=D, BLOCK_D=block_of(D), ROWS=block, num_warps=4,
        )  # fmt: skip
    return out, lse


def _step(x: Tensor) -> int:
    """Stride of the batch; 0 when all share one."""
    return x.stride(0) if x.shape[0] > 1 else 0
