"""Forward pass of block-sparse attention: one program a job, four plain loops, no branch in them.

    out_i = Σ_j p_ij v_j,   p_ij = exp(s_ij − lse_i),   s_ij = scale · q_i·k_j + bias_j,
    lse_i = log Σ_j exp(s_ij),   j over what the job of row i meets

Online softmax in base 2 (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao 2023,
arXiv:2307.08691). Hidden scores are −2^100, never −inf: a row that has met only hidden keys
collects ones, which the first real score rescales by exp2(−2^100 · scale − m) = 0; a row that
never meets one is recognised at the end. A power of two, because its product with the scale is
exact: in the fused exp2(s · scale − m) a rounded product would leave 1e22 and overflow.
A job meets, in this order,

    a run of keys      [text; for a text query all keys, split into parts that are merged after]
    whole tiles        [no test]
    tiles in part      [disc and/or bits, tested per pair]
    a second run       [pooled keys]

ours: dy² + dx² <= limit is tested as dy² <= limit − dx², the left side a table of rows × tile
rows, the right one of rows × tile columns, so that a pair costs one comparison and one selection;
whole numbers, exact in fp32. A missing row or column of a ragged tile enters there, for nothing.
The row of the next tile is fetched one step ahead, its index two.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "COUNTS", "advance", "bias_of", "fetch", "forward_kernel", "hold", "inner", "job_of",
    "merge_kernel", "near", "places", "share", "whole",
]  # fmt: skip

HIDDEN = tl.constexpr(-(2.0**100))  # score of a hidden key
DEAD = tl.constexpr(-1e20)  # a largest score below this is that of a row that saw nothing
FAR = tl.constexpr(2.0**100)  # dy² of a missing row
COUNTS = (  # one compiled kernel for all of their values
    "see_b", "own_b", "jobs_b", "heads", "batch_heads", "queries", "owners", "runs", "parts",
)  # fmt: skip
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def job_of(owners, runs, parts, batch_heads, RANGES: tl.constexpr):
    """Owner tile, batch · head and part of this program: split runs first, heads slowest."""
    pid = tl.program_id(0)
    owner = pid
    head = pid
    part = 0
    if RANGES:
        split = runs * parts
        if pid < split * batch_heads:
            head = pid // split
            owner = (pid % split) // parts
            part = pid % parts
        else:
            rest = pid - split * batch_heads
            head = rest // (owners - runs)
            owner = runs + rest % (owners - runs)
    else:
        head = pid // owners
        owner = pid % owners
    return owner, head, part


@triton.jit
def advance(tiles, index):
    """Row of the tile table: token, y, x, width, end."""
    row = tiles + index * 5
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
    )


@triton.jit
def fetch(base, token, stride, exists, D: tl.constexpr, BLOCK_D: tl.constexpr,
          MASKED: tl.constexpr, EMULATE: tl.constexpr):  # fmt: skip
    """Rows of a tensor, [tokens, BLOCK_D]; zeros where a row or column does not exist."""
    column = tl.arange(0, BLOCK_D)
    at = base + token.to(tl.int64)[:, None] * stride + column[None, :]
    if MASKED:
        mask = exists[:, None] & (column < D)[None, :] if D < BLOCK_D else exists[:, None]
        x = tl.load(at, mask=mask, other=0.0)
    else:
        x = tl.load(at, mask=(column < D)[None, :], other=0.0) if D < BLOCK_D else tl.load(at)
    if EMULATE:
        x = x.to(tl.float32)  # the interpreter multiplies the bit patterns of bf16
    return x


@triton.jit
def hold(base, token, stride, exists, D: tl.constexpr, BLOCK_D: tl.constexpr,
         MASKED: tl.constexpr, PIECE: tl.constexpr, EMULATE: tl.constexpr):  # fmt: skip
    """Rows of a tensor; if PIECE (fp32) where they lie, for `inner` and `whole` to fetch them."""
    if PIECE:
        return base, token, stride, exists
    else:
        return fetch(base, token, stride, exists, D, BLOCK_D, MASKED, EMULATE)


@triton.jit
def whole(x, D: tl.constexpr, BLOCK_D: tl.constexpr, PIECE: tl.constexpr):
    """[rows, BLOCK_D] of what `hold` gave."""
    if PIECE:
        return fetch(x[0], x[1], x[2], x[3], D, BLOCK_D, True, False)
    else:
        return x


@triton.jit
def inner(x, y, D: tl.constexpr, BLOCK_D: tl.constexpr, PIECE: tl.constexpr,
          PRECISION: tl.constexpr):  # fmt: skip
    """x · yᵀ of what `hold` gave; if PIECE as a sum over so many channels at a time."""
    if PIECE:
        product = tl.zeros([x[1].shape[0], y[1].shape[0]], tl.float32)
        for c in tl.static_range(0, BLOCK_D, PIECE):
            some = fetch(x[0] + c, x[1], x[2], x[3], D - c, PIECE, True, False)
            other = fetch(y[0] + c, y[1], y[2], y[3], D - c, PIECE, True, False)
            product = tl.dot(some, tl.trans(other), product, input_precision=PRECISION)
        return product
    else:
        return tl.dot(x, tl.trans(y), input_precision=PRECISION)


@triton.jit
def near(down, across, limit, corner_y, corner_x, token, y, x, width, end,
         TH: tl.constexpr, TW: tl.constexpr, BITS: tl.constexpr):  # fmt: skip
    """Which cells of the tile (token, y, x, width, end) are seen. [rows, TH · TW] bool.

    The rows are at (corner_y + down, corner_x + across); tiles without coordinates see and are
    seen from everywhere.
    """
    i = tl.arange(0, TH)
    j = tl.arange(0, TW)
    dy = down[:, None] - (y - corner_y + i).to(tl.float32)[None, :]
    dx = across[:, None] - (x - corner_x + j).to(tl.float32)[None, :]
    dy2 = tl.where((token + i * width < end)[None, :], dy * dy, FAR)
    room = tl.where((x + j < width)[None, :], limit - dx * dx, -1.0)
    if BITS:  # those tests hide what is missing in a run
        dy2 = tl.where((y < 0) | (corner_y < 0), HIDDEN, dy2)
    return tl.reshape(dy2[:, :, None] <= room[:, None, :], [down.shape[0], TH * TW])


@triton.jit
def places(TH: tl.constexpr, TW: tl.constexpr):
    """Row and column of a tile's cells, fp32."""
    n = tl.arange(0, TH * TW)
    return (n // TW).to(tl.float32), (n % TW).to(tl.float32)


@triton.jit
def share(start, stop, part, parts, SIZE: tl.constexpr):
    """The part of a range that is one program's, in whole blocks."""
    length = tl.cdiv(tl.cdiv(stop - start, SIZE), parts) * SIZE
    start += part * length
    return start, tl.minimum(stop, start + length)


@triton.jit
def _softmax(s, v, acc, total, most, scale, bias, BIAS: tl.constexpr, PRECISION: tl.constexpr):
    """One step of the online softmax with raw scores s of a block of keys."""
    if BIAS:
        s = s * scale + bias[None, :]
        new = tl.maximum(most, tl.max(s, 1))
        p = tl.exp2(s - new[:, None])
    else:
        new = tl.maximum(most, tl.max(s, 1) * scale)
        p = tl.exp2(tl.fma(s, scale, -new[:, None]))
    shrink = tl.exp2(most - new)
    total = total * shrink + tl.sum(p, 1)
    acc = tl.dot(p.to(v.dtype), v, acc * shrink[:, None], input_precision=PRECISION)
    return acc, total, new


@triton.jit
def bias_of(base, token, stride, exists, BIAS: tl.constexpr):
    """Bias of some keys in base 2; −inf becomes −2^100."""
    if BIAS:
        bias = tl.load(base + token.to(tl.int64) * stride, mask=exists, other=0.0)
        return tl.maximum(bias * LOG2E, HIDDEN)
    else:
        return 0.0


@triton.jit
def _run(q, k, v, bias, k_n, v_n, bias_n, start, stop, acc, total, most, scale,
         D: tl.constexpr, BLOCK_D: tl.constexpr, RUN: tl.constexpr, STAGES: tl.constexpr,
         BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr,
         EMULATE: tl.constexpr):  # fmt: skip
    """Keys start … stop, all seen: whole blocks, then what is left."""
    n = tl.arange(0, RUN)
    even = start + (stop - start) // RUN * RUN
    for at in tl.range(start, even, RUN, num_stages=STAGES, disable_licm=PIECE > 0):
        token = at + n
        keys = hold(k, token, k_n, n < RUN, D, BLOCK_D, False, PIECE, EMULATE)
        values = fetch(v, token, v_n, n < RUN, D, BLOCK_D, False, EMULATE)
        s = inner(q, keys, D, BLOCK_D, PIECE, PRECISION)
        b = bias_of(bias, token, bias_n, n < RUN, BIAS)
        acc, total, most = _softmax(s, values, acc, total, most, scale, b, BIAS, PRECISION)
    for at in tl.range(even, stop, RUN, num_stages=1, disable_licm=PIECE > 0):
        token = at + n
        exists = token < stop
        keys = hold(k, token, k_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        values = fetch(v, token, v_n, exists, D, BLOCK_D, True, EMULATE)
        s = inner(q, keys, D, BLOCK_D, PIECE, PRECISION)
        s = tl.where(exists[None, :], s, HIDDEN)
        b = bias_of(bias, token, bias_n, exists, BIAS)
        acc, total, most = _softmax(s, values, acc, total, most, scale, b, BIAS, PRECISION)
    return acc, total, most


@triton.jit(do_not_specialize=COUNTS)
def forward_kernel(
    q, k, v, out, lse, part_out, part_lse, bias, see, own,
    own_tiles, other_tiles, entries, jobs,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, out_b, out_h, out_n,
    bias_b, bias_h, bias_n, see_b, own_b, jobs_b,
    heads, batch_heads, queries, owners, runs, parts, scale, limit,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, RUN: tl.constexpr,
    RUN_STAGES: tl.constexpr, TILE_STAGES: tl.constexpr,
    RANGES: tl.constexpr, SECOND: tl.constexpr, DISC: tl.constexpr, BITS: tl.constexpr,
    BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """out, lse of one tile of queries; of one part of its keys for a run of queries.

    jobs: int32 [1 or B, owners, 7] = start, middle, stop of the list; from, to of the run; from,
    to of the second run. scale: that of the scores times log2(e).
    """
    owner, head, part = job_of(owners, runs, parts, batch_heads, RANGES)
    batch = (head // heads).to(tl.int64)
    which = (head % heads).to(tl.int64)
    k += batch * k_b + which * k_h
    v += batch * v_b + which * v_h
    if BIAS:
        bias += batch * bias_b + which * bias_h
    token, y, x, width, end = advance(own_tiles, owner)
    m = tl.arange(0, OH * OW)
    row = token + m // OW * width + m % OW
    there = (x + m % OW < width) & (row < end)
    query = hold(q + batch * q_b + which * q_h, row, q_n, there, D, BLOCK_D, True, PIECE, EMULATE)
    most = tl.full([OH * OW], HIDDEN, tl.float32)
    total = tl.zeros([OH * OW], tl.float32)
    acc = tl.zeros([OH * OW, BLOCK_D], tl.float32)
    job = jobs + batch * jobs_b + owner * 7

    if RANGES:
        start = tl.load(job + 3)
        stop = tl.load(job + 4)
        if owner < runs:
            start, stop = share(start, stop, part, parts, RUN)
        acc, total, most = _run(q=query, k=k, v=v, bias=bias, k_n=k_n, v_n=v_n, bias_n=bias_n,
                                start=start, stop=stop, acc=acc, total=total, most=most,
                                scale=scale, D=D, BLOCK_D=BLOCK_D, RUN=RUN, STAGES=RUN_STAGES,
                                BIAS=BIAS, PIECE=PIECE, PRECISION=PRECISION,
                                EMULATE=EMULATE)  # fmt: skip

    first = tl.load(job)
    middle = tl.load(job + 1)
    last = tl.load(job + 2)
    n = tl.arange(0, TH * TW)
    i = n // TW
    j = n % TW
    token_k, y_k, x_k, width_k, end_k = advance(other_tiles, tl.load(entries + first))
    ahead = tl.load(entries + first + 1)
    for at in tl.range(first, middle, num_stages=TILE_STAGES, disable_licm=PIECE > 0):
        cell = token_k + i * width_k + j
        keys = hold(k, cell, k_n, n < TH * TW, D, BLOCK_D, False, PIECE, EMULATE)
        values = fetch(v, cell, v_n, n < TH * TW, D, BLOCK_D, False, EMULATE)
        s = inner(query, keys, D, BLOCK_D, PIECE, PRECISION)
        b = bias_of(bias, cell, bias_n, n < TH * TW, BIAS)
        acc, total, most = _softmax(s, values, acc, total, most, scale, b, BIAS, PRECISION)
        token_k, y_k, x_k, width_k, end_k = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    down, across = places(OH, OW)
    if BITS:
        bits = tl.load(see + batch * see_b + row, mask=there, other=0)
    for at in tl.range(middle, last, num_stages=TILE_STAGES, disable_licm=PIECE > 0):
        cell = token_k + i * width_k + j
        exists = (x_k + j < width_k) & (cell < end_k)
        keys = hold(k, cell, k_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        values = fetch(v, cell, v_n, exists, D, BLOCK_D, True, EMULATE)
        s = inner(query, keys, D, BLOCK_D, PIECE, PRECISION)
        if DISC:
            seen = near(down, across, limit, y, x, token_k, y_k, x_k, width_k, end_k,
                        TH, TW, BITS)  # fmt: skip
            s = tl.where(seen, s, HIDDEN)
        if BITS:
            group = tl.load(own + batch * own_b + cell, mask=exists, other=0)
            s = tl.where((bits[:, None] & group[None, :]) != 0, s, HIDDEN)
        b = bias_of(bias, cell, bias_n, exists, BIAS)
        acc, total, most = _softmax(s, values, acc, total, most, scale, b, BIAS, PRECISION)
        token_k, y_k, x_k, width_k, end_k = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    if SECOND:
        acc, total, most = _run(q=query, k=k, v=v, bias=bias, k_n=k_n, v_n=v_n, bias_n=bias_n,
                                start=tl.load(job + 5), stop=tl.load(job + 6), acc=acc,
                                total=total, most=most, scale=scale, D=D, BLOCK_D=BLOCK_D,
                                RUN=RUN, STAGES=RUN_STAGES, BIAS=BIAS, PIECE=PIECE,
                                PRECISION=PRECISION, EMULATE=EMULATE)  # fmt: skip

    alive = most > DEAD
    total = tl.where(alive, total, 1.0)
    acc = tl.where(alive[:, None], acc / total[:, None], 0.0)
    lse2 = tl.where(alive, most + tl.log2(total), -float("inf"))
    column = tl.arange(0, BLOCK_D)
    if owner < runs:
        place = ((part * batch_heads + head).to(tl.int64) * runs + owner) * (OH * OW) + m
        tl.store(part_out + place[:, None] * BLOCK_D + column[None, :], acc)
        tl.store(part_lse + place, lse2)
    else:
        out += batch * out_b + which * out_h
        to = out + row.to(tl.int64)[:, None] * out_n + column[None, :]
        tl.store(to, acc.to(out.dtype.element_ty), mask=there[:, None] & (column < D)[None, :])
        tl.store(lse + head.to(tl.int64) * queries + row, lse2 * LN2, mask=there)


@triton.jit(
    do_not_specialize=("heads", "batch_heads", "queries", "text", "length", "parts", "rows")
)
def merge_kernel(
    part_out, part_lse, out, lse, out_b, out_h, out_n,
    heads, batch_heads, queries, text, length, parts, rows,
    D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Parts of the keys into the whole: out = Σ_p 2^(lse2_p − lse2) out_p, for runs of queries.

    part_out: [parts, B·H, rows, BLOCK_D], part_lse: [parts, B·H, rows], both fp32, lse2 in base 2.
    """
    head = tl.program_id(1)
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK_D)
    most = tl.full([ROWS], HIDDEN, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, BLOCK_D], tl.float32)
    exists = m < length
    for part in range(parts):
        place = (part * batch_heads + head).to(tl.int64) * rows + m
        some = tl.load(part_lse + place, mask=exists, other=-float("inf"))
        new = tl.maximum(most, some)
        shrink = tl.exp2(most - new)
        share = tl.exp2(some - new)
        value = tl.load(
            part_out + place[:, None] * BLOCK_D + column[None, :], mask=exists[:, None], other=0.0
        )
        acc = acc * shrink[:, None] + value * share[:, None]
        total = total * shrink + share
        most = new
    alive = total > 0
    total = tl.where(alive, total, 1.0)
    acc = tl.where(alive[:, None], acc / total[:, None], 0.0)
    lse2 = tl.where(alive, most + tl.log2(total), -float("inf"))
    row = (text + m).to(tl.int64)
    out += (head // heads).to(tl.int64) * out_b + (head % heads).to(tl.int64) * out_h
    tl.store(
        out + row[:, None] * out_n + column[None, :],
        acc.to(out.dtype.element_ty),
        mask=exists[:, None] & (column < D)[None, :],
    )
    tl.store(lse + head.to(tl.int64) * queries + row, lse2 * LN2, mask=exists)
