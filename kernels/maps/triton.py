"""Head-mean columns of attention from its LSE, and their backward, without the map in memory.

    A[b,i,t] = 1/H sum_h P[b,h,i,t]                P = exp(q·k · scale + bias − lse)
    dS = P ⊙ dA / H       dq = scale · dS k        dk = scale · dSᵀ q        dlse = −rowsum(dS)

Columns: one program holds a tile of queries × chosen keys in registers and walks over the heads;
groups of heads fill a GPU and are added up afterwards. Words enter outside, by one small product
each way, since A and dA have no head axis. dq and dlse: a query tile over the keys. dk: a key tile
over the queries, transposed, cut into splits. Each number has one owner and sums have one order: no
atomics, the same bits every time. A and dA are padded to whole tiles so that rows are aligned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
import triton
import triton.language as tl
from torch import Tensor

from ..ahead import OPTIONS, Specialization
from ..blocks.triton import hold, inner, whole

__all__ = ["backward", "forward", "specializations"]

LOG2E = tl.constexpr(1.4426950408889634)
PROGRAMS = 264  # two for each of the 132 multiprocessors of an H100


@triton.jit
def _level(base, row, stride, limit):
    """LSE to base 2; +inf where there is no row, or none that sees a key: then P = 0."""
    lse = tl.load(base + row * stride, mask=row < limit, other=-float("inf"))
    return tl.where(lse == -float("inf"), float("inf"), lse * LOG2E)


@triton.jit
def _bias(base, row, col, row_stride, col_stride, rows, cols):
    mask = (row < rows)[:, None] & (col < cols)[None, :]
    at = base + row[:, None] * row_stride + col[None, :] * col_stride
    return tl.load(at, mask=mask, other=0.0).to(tl.float32) * LOG2E


@triton.jit
def _columns(
    Q, K, LSE, BIAS, OUT,
    q_b, q_h, q_n, k_b, k_h, k_t, l_b, l_h, l_n, b_b, b_h, b_n, b_t, o_g, o_b, o_n,
    N, T, H, heads, scale2, share,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_T: tl.constexpr,
    BIASED: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """OUT[group, b, i, t]: the group's part of A."""
    row = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    group = tl.program_id(1).to(tl.int64)
    tiles = tl.cdiv(T, BLOCK_T)
    b = (tl.program_id(2) // tiles).to(tl.int64)
    col = (tl.program_id(2) % tiles) * BLOCK_T + tl.arange(0, BLOCK_T)
    first = tl.program_id(1) * heads
    q = Q + b * q_b + group * heads * q_h
    k = K + b * k_b + group * heads * k_h
    lse = LSE + b * l_b + group * heads * l_h
    bias = BIAS + b * b_b + group * heads * b_h
    total = tl.zeros((BLOCK_N, BLOCK_T), tl.float32)
    for _ in range(0, tl.minimum(heads, H - first)):
        x = hold(q, row, q_n, row < N, D, BLOCK_D, True, PIECE, EMULATE)
        y = hold(k, col, k_t, col < T, D, BLOCK_D, True, PIECE, EMULATE)
        s = inner(x, y, D, BLOCK_D, PIECE, PRECISION) * scale2
        if BIASED:
            s += _bias(bias, row, col, b_n, b_t, N, T)
        total += tl.exp2(s - _level(lse, row, l_n, N)[:, None])
        q += q_h
        k += k_h
        lse += l_h
        bias += b_h
    total = tl.where((col < T)[None, :], total * share, 0.0)
    out = OUT + group * o_g + b * o_b + row[:, None] * o_n + col[None, :]
    tl.store(out, total, mask=(row < N)[:, None])


@triton.jit
def _dq(
    Q, K, LSE, BIAS, DA, DQ, DLSE,
    q_b, q_h, q_n, k_b, k_h, k_t, l_b, l_h, l_n, b_b, b_h, b_n, b_t, a_b, a_n,
    dq_b, dq_h, dq_n, dl_b, dl_h, dl_n,
    N, T, H, scale, scale2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_T: tl.constexpr,
    BIASED: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """A query tile of one head over the chosen keys."""
    row = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    b, h = (tl.program_id(1) // H).to(tl.int64), (tl.program_id(1) % H).to(tl.int64)
    x = hold(Q + b * q_b + h * q_h, row, q_n, row < N, D, BLOCK_D, True, PIECE, EMULATE)
    level = _level(LSE + b * l_b + h * l_h, row, l_n, N)
    k = K + b * k_b + h * k_h
    grad = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    for start in tl.range(0, T, BLOCK_T, disable_licm=PIECE > 0):
        col = start + tl.arange(0, BLOCK_T)
        y = hold(k, col, k_t, col < T, D, BLOCK_D, True, PIECE, EMULATE)
        s = inner(x, y, D, BLOCK_D, PIECE, PRECISION) * scale2
        if BIASED:
            s += _bias(BIAS + b * b_b + h * b_h, row, col, b_n, b_t, N, T)
        p = tl.where((col < T)[None, :], tl.exp2(s - level[:, None]), 0.0)
        ds = p * tl.load(DA + b * a_b + row[:, None] * a_n + col[None, :])
        total += tl.sum(ds, 1)
        y = whole(y, D, BLOCK_D, PIECE)
        grad = tl.dot(ds.to(y.dtype), y, grad, input_precision=PRECISION)
    dim = tl.arange(0, BLOCK_D)
    out = DQ + b * dq_b + h * dq_h + row[:, None] * dq_n + dim[None, :]
    mask = (row < N)[:, None] & (dim < D)[None, :]
    tl.store(out, (grad * scale).to(DQ.dtype.element_ty), mask=mask)
    tl.store(DLSE + b * dl_b + h * dl_h + row * dl_n, -total, mask=row < N)


@triton.jit
def _dk(
    Q, K, LSE, BIAS, DA, DK,
    q_b, q_h, q_n, k_b, k_h, k_t, l_b, l_h, l_n, b_b, b_h, b_n, b_t, a_b, a_t,
    dk_g, dk_b, dk_h, dk_t,
    N, T, H, queries, scale, scale2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_T: tl.constexpr,
    BIASED: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """A tile of chosen keys of one head over one split of the queries; scores, DA are [T, N]."""
    col = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    b, h = (tl.program_id(1) // H).to(tl.int64), (tl.program_id(1) % H).to(tl.int64)
    y = hold(K + b * k_b + h * k_h, col, k_t, col < T, D, BLOCK_D, True, PIECE, EMULATE)
    q = Q + b * q_b + h * q_h
    grad = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
    first = tl.program_id(2) * queries
    last = tl.minimum(first + queries, N)
    for start in tl.range(first, last, BLOCK_N, disable_licm=PIECE > 0):
        row = start + tl.arange(0, BLOCK_N)
        x = hold(q, row, q_n, row < N, D, BLOCK_D, True, PIECE, EMULATE)
        s = inner(y, x, D, BLOCK_D, PIECE, PRECISION) * scale2
        if BIASED:
            s += tl.trans(_bias(BIAS + b * b_b + h * b_h, row, col, b_n, b_t, N, T))
        p = tl.exp2(s - _level(LSE + b * l_b + h * l_h, row, l_n, N)[None, :])
        p = tl.where((col < T)[:, None], p, 0.0)
        ds = p * tl.load(DA + b * a_b + col[:, None] * a_t + row[None, :])
        x = whole(x, D, BLOCK_D, PIECE)
        grad = tl.dot(ds.to(x.dtype), x, grad, input_precision=PRECISION)
    dim = tl.arange(0, BLOCK_D)
    out = DK + tl.program_id(2).to(tl.int64) * dk_g + b * dk_b + h * dk_h
    out += col[:, None] * dk_t + dim[None, :]
    tl.store(out, grad * scale, mask=(col < T)[:, None] & (dim < D)[None, :])


@dataclass(frozen=True)
class _Tile:
    """How a kernel is cut and launched."""

    queries: int
    keys: int
    warps: int
    stages: int
    piece: int = 0  # channels fetched at a time; see Setting


def _tile(kernel: str, dtype: torch.dtype, depth: int, keys: int, biased: bool) -> _Tile:
    """depth: BLOCK_D; keys: how many are chosen."""
    fp32 = dtype == torch.float32
    if fp32 and depth > 64:  # blocks/settings.py says why a piece at a time
        return _Tile(16, 64, 4, 2, 32) if kernel == "dk" else _Tile(64, 16, 4, 2, 32)
    small = fp32 or depth == 256
    side = 32 if small or biased else 64
    if kernel == "dk":  # its keys are the rows of the product, of which wgmma takes 64
        return _Tile(32 if fp32 or biased else 64, 64, 8 if small else 4, 2)
    side = max(16, min(side, triton.next_power_of_2(keys)))
    return _Tile(64, side, 4, 2) if small else _Tile(128, side, 8, 2)


def _depth(D: int) -> int:
    return max(16, triton.next_power_of_2(D))


def _constants(dtype: torch.dtype, D: int, tile: _Tile, biased: bool) -> dict[str, Any]:
    return {
        "D": D,
        "BLOCK_D": _depth(D),
        "BLOCK_N": tile.queries,
        "BLOCK_T": tile.keys,
        "BIASED": biased,
        "PIECE": tile.piece,
        "PRECISION": "tf32x3" if dtype == torch.float32 else "tf32",  # tf32 alone loses digits
        "EMULATE": not isinstance(_columns, triton.JITFunction),  # interpreted: no half arithmetic
    }


def _cut(kernel: str, q: Tensor, k: Tensor, bias: Tensor | None) -> tuple[_Tile, dict[str, Any]]:
    tile = _tile(kernel, q.dtype, _depth(q.shape[-1]), k.shape[2], bias is not None)
    launch = {"num_warps": tile.warps, "num_stages": tile.stages, **OPTIONS}
    return tile, {**_constants(q.dtype, q.shape[-1], tile, bias is not None), **launch}


def forward(
    q: Tensor, k: Tensor, words: Tensor, lse: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """[B, N, W] fp32; bias [B, H, N, T]."""
    _check(q, k)
    (B, H, N, _), T = q.shape, k.shape[2]
    tile, options = _cut("columns", q, k, bias)
    tiles, rows = triton.cdiv(T, tile.keys), triton.cdiv(N, tile.queries)
    heads = triton.cdiv(H, min(H, triton.cdiv(PROGRAMS, max(1, rows * tiles * B))))
    parts = words.new_empty(triton.cdiv(H, heads), B, N, tiles * tile.keys)
    if parts.numel():
        _columns[rows, parts.shape[0], tiles * B](
            *_pointers(q, k, lse, bias), parts, *_strides(q, k, lse, bias), *parts.stride()[:3],
            N, T, H, heads, scale * LOG2E.value, 1 / H, **options,
        )  # fmt: skip
    return parts.sum(0) @ _padded(words, parts.shape[-1])


def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk in their dtypes and dlse."""
    _check(q, k)
    (B, H, N, _), T = q.shape, k.shape[2]
    if not (dout.numel() and T):
        return torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(lse)
    dq, dlse = q.new_empty(q.shape), lse.new_empty(lse.shape)
    over_keys, q_options = _cut("dq", q, k, bias)
    over_queries, k_options = _cut("dk", q, k, bias)
    tiles = triton.cdiv(T, over_queries.keys)  # dk's are the wider ones
    words = _padded(words, tiles * over_queries.keys)
    dout = _padded(dout / H, triton.cdiv(N, over_keys.queries) * over_keys.queries)
    inputs, strides = _pointers(q, k, lse, bias), _strides(q, k, lse, bias)
    da = dout @ words.mT
    _dq[triton.cdiv(N, over_keys.queries), B * H](
        *inputs, da, dq, dlse, *strides, *da.stride()[:2], *dq.stride()[:3], *dlse.stride(),
        N, T, H, scale, scale * LOG2E.value, **q_options,
    )  # fmt: skip
    da = words @ dout.mT
    steps = triton.cdiv(N, over_queries.queries)
    steps = triton.cdiv(steps, min(steps, triton.cdiv(PROGRAMS, max(1, tiles * B * H))))
    queries = steps * over_queries.queries
    parts = k.new_empty(triton.cdiv(N, queries), *k.shape, dtype=torch.float32)
    _dk[tiles, B * H, parts.shape[0]](
        *inputs, da, parts, *strides, *da.stride()[:2], *parts.stride()[:4],
        N, T, H, queries, scale, scale * LOG2E.value, **k_options,
    )  # fmt: skip
    return dq, parts.sum(0).to(k.dtype), dlse


def _check(q: Tensor, k: Tensor) -> None:
    for name, x in (("q", q), ("k", k)):
        if x.stride(-1) != 1:
            raise ValueError(f"{name}: came strides {x.stride()}; expected D contiguous")


def _pointers(q: Tensor, k: Tensor, lse: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
    return q, k, lse, lse if bias is None else bias


def _strides(q: Tensor, k: Tensor, lse: Tensor, bias: Tensor | None) -> tuple[int, ...]:
    to_bias = (0, 0, 0, 0) if bias is None else bias.stride()
    return *q.stride()[:3], *k.stride()[:3], *lse.stride(), *to_bias


def _padded(x: Tensor, rows: int) -> Tensor:
    return F.pad(x, (0, 0, 0, rows - x.shape[1]))


def specializations() -> list[Specialization]:
    """What FLUX (D 128), SD 3 (64) and SD 1.5 (160) launch, few or many keys, and a key bias."""
    bf16, fp32 = torch.bfloat16, torch.float32
    cases = [(bf16, 128, 16, False), (bf16, 128, 512, False), (bf16, 128, 512, True)]
    cases += [(bf16, 160, 16, False), (fp32, 64, 16, False), (fp32, 128, 16, False)]
    return [
        _specialization(kernel, *case)
        for kernel in (_columns, _dq, _dk)
        for case in (cases if kernel is not _dk else cases[1:])  # few keys are one tile of many
    ]


def _specialization(
    kernel: Any, dtype: torch.dtype, D: int, keys: int, biased: bool
) -> Specialization:
    name = kernel.fn.__name__.strip("_")
    short = {torch.bfloat16: "bf16", torch.float32: "fp32"}[dtype]
    tile = _tile(name, dtype, _depth(D), keys, biased)
    constants = {**_constants(dtype, D, tile, biased), "EMULATE": False, "b_t": 1, "l_n": 1}
    kinds = dict.fromkeys(("LSE", "BIAS", "DA", "OUT", "DLSE", "DK"), "*fp32")
    kinds |= dict.fromkeys(("Q", "K", "DQ"), f"*{short}")
    pointers = set(kinds)
    kinds |= dict.fromkeys(("scale", "scale2", "share"), "fp32")
    kinds |= dict.fromkeys(constants, "constexpr")
    return Specialization(
        name=f"maps {name} {short} d{D} {keys} keys{' bias' if biased else ''}",
        kernel=kernel,
        signature={name: kinds.get(name, "i32") for name in kernel.arg_names},
        constexprs=constants,
        divisible=tuple(
            name
            for name in kernel.arg_names
            if name not in constants
            and (name in pointers or "_" in name or name in ("queries", "T"))
        ),
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
