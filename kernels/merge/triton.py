"""Merging by LSE in one pass over the parts, and its backward in another.

Both are bound by memory: a program owns ROWS rows and reads each part of them once.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..ahead import OPTIONS, Specialization

__all__ = ["backward", "forward", "specializations"]

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)
ROWS = 16
LAUNCH = {"num_warps": 4, "num_stages": 3}


@triton.jit
def _merge(
    OUTS, LSES, OUT, LSE, p_p, p_b, p_h, p_n, l_p, l_b, l_h, l_n,
    P, H, N, D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """OUT [B, H, N, D] and LSE [B, H, N] are contiguous."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dim = tl.arange(0, BLOCK_D)
    b, h = (tl.program_id(1) // H).to(tl.int64), (tl.program_id(1) % H).to(tl.int64)
    there = row < N
    inside = there[:, None] & (dim < D)[None, :]
    part = OUTS + b * p_b + h * p_h + row.to(tl.int64)[:, None] * p_n + dim[None, :]
    level = LSES + b * l_b + h * l_h + row * l_n
    most = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    acc = tl.zeros((ROWS, BLOCK_D), tl.float32)
    for _ in range(0, P):
        lse = tl.load(level, mask=there, other=-float("inf")) * LOG2E
        new = tl.maximum(most, lse)
        anchor = tl.where(new == -float("inf"), 0.0, new)
        share, keep = tl.exp2(lse - anchor), tl.exp2(most - anchor)
        x = tl.load(part, mask=inside & (share > 0)[:, None], other=0.0).to(tl.float32)
        acc = acc * keep[:, None] + x * share[:, None]
        total = total * keep + share
        most = new
        part += p_p
        level += l_p
    sees = total > 0
    acc = tl.where(sees[:, None], acc / tl.where(sees, total, 1.0)[:, None], 0.0)
    lse = tl.where(sees, (most + tl.log2(tl.where(sees, total, 1.0))) * LN2, -float("inf"))
    at = tl.program_id(1).to(tl.int64) * N + row
    tl.store(OUT + at[:, None] * D + dim[None, :], acc.to(OUT.dtype.element_ty), mask=inside)
    tl.store(LSE + at, lse, mask=there)


@triton.jit
def _backward(
    DOUT, DLSE, OUTS, LSES, OUT, LSE, DOUTS, DLSES,
    do_b, do_h, do_n, dl_b, dl_h, dl_n, p_p, p_b, p_h, p_n, l_p, l_b, l_h, l_n, d_p, d_l,
    P, H, N, D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """OUT, LSE, DOUTS and DLSES are contiguous; d_p, d_l are steps from part to part."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dim = tl.arange(0, BLOCK_D)
    b, h = (tl.program_id(1) // H).to(tl.int64), (tl.program_id(1) % H).to(tl.int64)
    there = row < N
    inside = there[:, None] & (dim < D)[None, :]
    at = tl.program_id(1).to(tl.int64) * N + row
    flat = at[:, None] * D + dim[None, :]
    lse = tl.load(LSE + at, mask=there, other=-float("inf"))
    lse = tl.where(lse == -float("inf"), 0.0, lse)
    whole = tl.load(OUT + flat, mask=inside, other=0.0).to(tl.float32)
    from_out = DOUT + b * do_b + h * do_h + row.to(tl.int64)[:, None] * do_n + dim[None, :]
    dout = tl.load(from_out, mask=inside, other=0.0).to(tl.float32)
    dlse = tl.load(DLSE + b * dl_b + h * dl_h + row * dl_n, mask=there, other=0.0)
    part = OUTS + b * p_b + h * p_h + row.to(tl.int64)[:, None] * p_n + dim[None, :]
    level = LSES + b * l_b + h * l_h + row * l_n
    douts, dlses = DOUTS + flat, DLSES + at
    for _ in range(0, P):
        share = tl.exp2((tl.load(level, mask=there, other=-float("inf")) - lse) * LOG2E)
        counts = share > 0
        x = tl.load(part, mask=inside & counts[:, None], other=0.0).to(tl.float32)
        gain = tl.sum(dout * (x - whole), 1) + dlse
        grad = tl.where(counts[:, None], dout * share[:, None], 0.0)
        tl.store(douts, grad.to(DOUTS.dtype.element_ty), mask=inside)
        tl.store(dlses, tl.where(counts, gain * share, 0.0), mask=there)
        part += p_p
        level += l_p
        douts += d_p
        dlses += d_l


def _options(D: int) -> dict[str, int]:
    return {"D": D, "BLOCK_D": max(16, triton.next_power_of_2(D)), "ROWS": ROWS}


def forward(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """See api.py."""
    _check(outs)
    P, B, H, N, D = outs.shape
    out, lse = outs.new_empty(outs.shape[1:]), lses.new_empty(lses.shape[1:])
    if lse.numel():
        _merge[triton.cdiv(N, ROWS), B * H](
            outs, lses, out, lse, *outs.stride()[:4], *lses.stride(), P, H, N,
            **_options(D), **LAUNCH, **OPTIONS,
        )  # fmt: skip
    return out, lse


def backward(
    dout: Tensor, dlse: Tensor, outs: Tensor, lses: Tensor, out: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor]:
    """See api.py."""
    P, B, H, N, D = outs.shape
    dout = dout if dout.stride(-1) == 1 else dout.contiguous()
    douts, dlses = outs.new_empty(outs.shape), lses.new_empty(lses.shape)
    if lse.numel():
        _backward[triton.cdiv(N, ROWS), B * H](
            dout, dlse, outs, lses, out, lse, douts, dlses,
            *dout.stride()[:3], *dlse.stride(), *outs.stride()[:4], *lses.stride(),
            douts.stride(0), dlses.stride(0), P, H, N, **_options(D), **LAUNCH, **OPTIONS,
        )  # fmt: skip
    return douts, dlses


def _check(outs: Tensor) -> None:
    if outs.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(f"outs: came {outs.dtype}; impl 'triton' takes fp16, bf16 and fp32")
    if isinstance(_merge, triton.JITFunction) and not outs.is_cuda:
        raise ValueError(f"outs: came on {outs.device.type}; impl 'triton' runs on a GPU")
    if outs.stride(-1) != 1:
        raise ValueError(f"outs: came strides {outs.stride()}; expected D contiguous")


def specializations() -> list[Specialization]:
    """Both kernels for bf16 outputs, D 128."""
    return [_specialization(kernel) for kernel in (_merge, _backward)]


def _specialization(kernel: Any) -> Specialization:
    names = kernel.arg_names
    constants = {**_options(128), "l_n": 1}
    kinds = dict.fromkeys(("LSES", "LSE", "DLSE", "DLSES"), "*fp32")
    kinds |= dict.fromkeys(("OUTS", "OUT", "DOUT", "DOUTS"), "*bf16")
    kinds |= dict.fromkeys(constants, "constexpr")
    return Specialization(
        name=f"merge {kernel.fn.__name__.strip('_')} bf16 d128",
        kernel=kernel,
        signature={name: kinds.get(name, "i32") for name in names},
        constexprs=constants,
        divisible=tuple(
            name for name in names if name not in constants and ("_" in name or len(name) > 1)
        ),
        num_warps=LAUNCH["num_warps"],
        num_stages=LAUNCH["num_stages"],
        attention=False,
    )
