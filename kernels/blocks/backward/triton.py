"""Backward pass of block-sparse attention: dQ by query tiles, dK, dV and dbias by key tiles.

With dO_i, dlse_i given and δ_i = dO_i·O_i − dlse_i (Dao 2023, arXiv:2307.08691; ours: dlse),

    p_ij = exp(s_ij − lse_i)          ds_ij = p_ij (dO_i·v_j − δ_i)
    dq_i = scale Σ_j ds_ij k_j        dk_j = scale Σ_i ds_ij q_i
    dv_j = Σ_i p_ij dO_i              dbias_j = Σ_i ds_ij

Each kernel recomputes p from the LSE and owns what it writes: no atomics, the same bits every time.
Runs whose tiles meet every token (text) are split into parts, each with an fp32 buffer of its own.
A row that saw nothing has lse2 = 2^100, so that its p is 0 everywhere.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..triton import (
    COUNTS,
    DEAD,
    HIDDEN,
    LOG2E,
    advance,
    bias_of,
    fetch,
    hold,
    inner,
    job_of,
    near,
    places,
    share,
    whole,
)  # fmt: skip

__all__ = ["key_kernel", "query_kernel", "rows_kernel"]


@triton.jit(do_not_specialize=("heads", "queries"))
def rows_kernel(
    out, dout, lse, dlse, lse2, delta,
    out_b, out_h, out_n, dout_b, dout_h, dout_n, dlse_b, dlse_h, dlse_n, heads, queries,
    D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr, DLSE: tl.constexpr,
):  # fmt: skip
    """lse2 (base 2) and δ of every row, both [B, H, N] fp32."""
    head = tl.program_id(1)
    batch = (head // heads).to(tl.int64)
    which = (head % heads).to(tl.int64)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    exists = row < queries
    o = fetch(out + batch * out_b + which * out_h, row, out_n, exists, D, BLOCK_D, True, True)
    up = fetch(dout + batch * dout_b + which * dout_h, row, dout_n, exists, D, BLOCK_D, True, True)
    sums = tl.sum(o * up, 1)
    if DLSE:
        at = dlse + batch * dlse_b + which * dlse_h + row.to(tl.int64) * dlse_n
        sums -= tl.load(at, mask=exists, other=0.0)
    place = head.to(tl.int64) * queries + row
    seen = tl.load(lse + place, mask=exists, other=0.0) * LOG2E
    alive = seen > DEAD
    tl.store(lse2 + place, tl.where(alive, seen, -HIDDEN), mask=exists)
    tl.store(delta + place, tl.where(alive, sums, 0.0), mask=exists)


@triton.jit
def _query_step(s, keys, values, up, lse2, delta, dq, scale, bias,
                D: tl.constexpr, BLOCK_D: tl.constexpr, BIAS: tl.constexpr, PIECE: tl.constexpr,
                PRECISION: tl.constexpr):  # fmt: skip
    """dQ from raw scores of a block of keys."""
    if BIAS:
        p = tl.exp2(tl.fma(s, scale, bias[None, :] - lse2[:, None]))
    else:
        p = tl.exp2(tl.fma(s, scale, -lse2[:, None]))
    dp = inner(up, values, D, BLOCK_D, PIECE, PRECISION)
    ds = p * (dp - delta[:, None])
    keys = whole(keys, D, BLOCK_D, PIECE)
    return tl.dot(ds.to(keys.dtype), keys, dq, input_precision=PRECISION)


@triton.jit
def _query_range(q, up, lse2, delta, k, v, bias, k_n, v_n, bias_n, start, stop, dq, scale,
                 D: tl.constexpr, BLOCK_D: tl.constexpr, RUN: tl.constexpr, STAGES: tl.constexpr,
                 BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr,
                 EMULATE: tl.constexpr):  # fmt: skip
    """dQ from keys start … stop, all seen."""
    n = tl.arange(0, RUN)
    even = start + (stop - start) // RUN * RUN
    for at in tl.range(start, even, RUN, num_stages=STAGES, disable_licm=PIECE > 0):
        token = at + n
        keys = hold(k, token, k_n, n < RUN, D, BLOCK_D, False, PIECE, EMULATE)
        values = hold(v, token, v_n, n < RUN, D, BLOCK_D, False, PIECE, EMULATE)
        s = inner(q, keys, D, BLOCK_D, PIECE, PRECISION)
        b = bias_of(bias, token, bias_n, n < RUN, BIAS)
        dq = _query_step(s, keys, values, up, lse2, delta, dq, scale, b,
                         D, BLOCK_D, BIAS, PIECE, PRECISION)  # fmt: skip
    for at in tl.range(even, stop, RUN, num_stages=1, disable_licm=PIECE > 0):
        token = at + n
        exists = token < stop
        keys = hold(k, token, k_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        values = hold(v, token, v_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        s = inner(q, keys, D, BLOCK_D, PIECE, PRECISION)
        s = tl.where(exists[None, :], s, HIDDEN)
        b = bias_of(bias, token, bias_n, exists, BIAS)
        dq = _query_step(s, keys, values, up, lse2, delta, dq, scale, b,
                         D, BLOCK_D, BIAS, PIECE, PRECISION)  # fmt: skip
    return dq


@triton.jit(do_not_specialize=COUNTS)
def query_kernel(
    q, k, v, dout, lse2, delta, dq, part_dq, bias, see, own,
    own_tiles, other_tiles, entries, jobs,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, dout_b, dout_h, dout_n, dq_b, dq_h, dq_n,
    bias_b, bias_h, bias_n, see_b, own_b, jobs_b,
    heads, batch_heads, queries, owners, runs, parts, scale, limit, slope,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, RUN: tl.constexpr,
    RUN_STAGES: tl.constexpr, TILE_STAGES: tl.constexpr,
    RANGES: tl.constexpr, SECOND: tl.constexpr, DISC: tl.constexpr, BITS: tl.constexpr,
    BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """dQ of one tile of queries. scale: that of the scores times log2(e), slope: without."""
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
    up = hold(dout + batch * dout_b + which * dout_h, row, dout_n, there,
              D, BLOCK_D, True, PIECE, EMULATE)  # fmt: skip
    place = head.to(tl.int64) * queries + row
    lse_row = tl.load(lse2 + place, mask=there, other=-HIDDEN)
    delta_row = tl.load(delta + place, mask=there, other=0.0)
    acc = tl.zeros([OH * OW, BLOCK_D], tl.float32)
    job = jobs + batch * jobs_b + owner * 7

    if RANGES:
        start = tl.load(job + 3)
        stop = tl.load(job + 4)
        if owner < runs:
            start, stop = share(start, stop, part, parts, RUN)
        acc = _query_range(query, up, lse_row, delta_row, k, v, bias, k_n, v_n, bias_n,
                           start, stop, acc, scale, D, BLOCK_D, RUN, RUN_STAGES,
                           BIAS, PIECE, PRECISION, EMULATE)  # fmt: skip

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
        values = hold(v, cell, v_n, n < TH * TW, D, BLOCK_D, False, PIECE, EMULATE)
        s = inner(query, keys, D, BLOCK_D, PIECE, PRECISION)
        b = bias_of(bias, cell, bias_n, n < TH * TW, BIAS)
        acc = _query_step(s, keys, values, up, lse_row, delta_row, acc, scale, b,
                          D, BLOCK_D, BIAS, PIECE, PRECISION)  # fmt: skip
        token_k, y_k, x_k, width_k, end_k = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    down, across = places(OH, OW)
    if BITS:
        bits = tl.load(see + batch * see_b + row, mask=there, other=0)
    for at in tl.range(middle, last, num_stages=TILE_STAGES, disable_licm=PIECE > 0):
        cell = token_k + i * width_k + j
        exists = (x_k + j < width_k) & (cell < end_k)
        keys = hold(k, cell, k_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        values = hold(v, cell, v_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        s = inner(query, keys, D, BLOCK_D, PIECE, PRECISION)
        if DISC:
            seen = near(down, across, limit, y, x, token_k, y_k, x_k, width_k, end_k,
                        TH, TW, BITS)  # fmt: skip
            s = tl.where(seen, s, HIDDEN)
        if BITS:
            group = tl.load(own + batch * own_b + cell, mask=exists, other=0)
            s = tl.where((bits[:, None] & group[None, :]) != 0, s, HIDDEN)
        b = bias_of(bias, cell, bias_n, exists, BIAS)
        acc = _query_step(s, keys, values, up, lse_row, delta_row, acc, scale, b,
                          D, BLOCK_D, BIAS, PIECE, PRECISION)  # fmt: skip
        token_k, y_k, x_k, width_k, end_k = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    if SECOND:
        start = tl.load(job + 5)
        stop = tl.load(job + 6)
        acc = _query_range(query, up, lse_row, delta_row, k, v, bias, k_n, v_n, bias_n,
                           start, stop, acc, scale, D, BLOCK_D, RUN, RUN_STAGES,
                           BIAS, PIECE, PRECISION, EMULATE)  # fmt: skip

    acc *= slope
    column = tl.arange(0, BLOCK_D)
    if owner < runs:
        slot = ((part * batch_heads + head).to(tl.int64) * runs + owner) * (OH * OW) + m
        tl.store(part_dq + slot[:, None] * BLOCK_D + column[None, :], acc)
    else:
        dq += batch * dq_b + which * dq_h
        to = dq + row.to(tl.int64)[:, None] * dq_n + column[None, :]
        tl.store(to, acc.to(dq.dtype.element_ty), mask=there[:, None] & (column < D)[None, :])


@triton.jit
def _key_step(s, queries, up, values, lse2, delta, dk, dv, dbias, scale, bias,
              D: tl.constexpr, BLOCK_D: tl.constexpr, DK: tl.constexpr, DV: tl.constexpr,
              BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """dK, dV, dbias from raw scores [keys, queries] of a block of queries."""
    if BIAS:
        p = tl.exp2(tl.fma(s, scale, bias[:, None] - lse2[None, :]))
    else:
        p = tl.exp2(tl.fma(s, scale, -lse2[None, :]))
    if DV:
        rows = whole(up, D, BLOCK_D, PIECE)
        dv = tl.dot(p.to(rows.dtype), rows, dv, input_precision=PRECISION)
    if DK:
        dp = inner(values, up, D, BLOCK_D, PIECE, PRECISION)
        ds = p * (dp - delta[None, :])
        if BIAS:
            dbias += tl.sum(ds, 1)
        rows = whole(queries, D, BLOCK_D, PIECE)
        dk = tl.dot(ds.to(rows.dtype), rows, dk, input_precision=PRECISION)
    return dk, dv, dbias


@triton.jit
def _key_range(keys, values, q, dout, lse2, delta, q_n, dout_n, start, stop, dk, dv, dbias,
               scale, bias, D: tl.constexpr, BLOCK_D: tl.constexpr, RUN: tl.constexpr,
               STAGES: tl.constexpr, DK: tl.constexpr, DV: tl.constexpr, BIAS: tl.constexpr,
               PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr):  # fmt: skip
    """dK, dV, dbias from queries start … stop, which all see these keys."""
    n = tl.arange(0, RUN)
    even = start + (stop - start) // RUN * RUN
    for at in tl.range(start, even, RUN, num_stages=STAGES, disable_licm=PIECE > 0):
        token = at + n
        query = hold(q, token, q_n, n < RUN, D, BLOCK_D, False, PIECE, EMULATE)
        up = hold(dout, token, dout_n, n < RUN, D, BLOCK_D, False, PIECE, EMULATE)
        lse_row = tl.load(lse2 + token)
        delta_row = tl.load(delta + token)
        s = inner(keys, query, D, BLOCK_D, PIECE, PRECISION)
        dk, dv, dbias = _key_step(s, query, up, values, lse_row, delta_row, dk, dv, dbias,
                                  scale, bias, D, BLOCK_D, DK, DV, BIAS, PIECE,
                                  PRECISION)  # fmt: skip
    for at in tl.range(even, stop, RUN, num_stages=1, disable_licm=PIECE > 0):
        token = at + n
        exists = token < stop
        query = hold(q, token, q_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        up = hold(dout, token, dout_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        lse_row = tl.load(lse2 + token, mask=exists, other=-HIDDEN)
        delta_row = tl.load(delta + token, mask=exists, other=0.0)
        s = inner(keys, query, D, BLOCK_D, PIECE, PRECISION)
        dk, dv, dbias = _key_step(s, query, up, values, lse_row, delta_row, dk, dv, dbias,
                                  scale, bias, D, BLOCK_D, DK, DV, BIAS, PIECE,
                                  PRECISION)  # fmt: skip
    return dk, dv, dbias


@triton.jit(do_not_specialize=(*COUNTS, "total"))
def key_kernel(
    q, k, v, dout, lse2, delta, dk, dv, dbias, part_dk, part_dv, part_dbias, bias, see, own,
    own_tiles, other_tiles, entries, jobs,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, dout_b, dout_h, dout_n,
    dk_b, dk_h, dk_n, dv_b, dv_h, dv_n, bias_b, bias_h, bias_n, see_b, own_b, jobs_b,
    heads, batch_heads, queries, total, owners, runs, parts, scale, limit, slope,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    TH: tl.constexpr, TW: tl.constexpr, RUN: tl.constexpr,
    RUN_STAGES: tl.constexpr, TILE_STAGES: tl.constexpr,
    RANGES: tl.constexpr, SECOND: tl.constexpr, DISC: tl.constexpr, BITS: tl.constexpr,
    DK: tl.constexpr, DV: tl.constexpr,
    BIAS: tl.constexpr, PIECE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """If DK dK and dbias [B, H, total], if DV dV of one tile of keys; the others are queries."""
    owner, head, part = job_of(owners, runs, parts, batch_heads, RANGES)
    batch = (head // heads).to(tl.int64)
    which = (head % heads).to(tl.int64)
    q += batch * q_b + which * q_h
    dout += batch * dout_b + which * dout_h
    lse2 += head.to(tl.int64) * queries
    delta += head.to(tl.int64) * queries
    token, y, x, width, end = advance(own_tiles, owner)
    m = tl.arange(0, OH * OW)
    row = token + m // OW * width + m % OW
    there = (x + m % OW < width) & (row < end)
    keys = hold(k + batch * k_b + which * k_h, row, k_n, there, D, BLOCK_D, True, PIECE, EMULATE)
    values = hold(v + batch * v_b + which * v_h, row, v_n, there, D, BLOCK_D, True, PIECE, EMULATE)
    b = bias_of(bias + batch * bias_b + which * bias_h, row, bias_n, there, BIAS)
    acc_k = tl.zeros([OH * OW, BLOCK_D], tl.float32)
    acc_v = tl.zeros([OH * OW, BLOCK_D], tl.float32)
    acc_b = tl.zeros([OH * OW], tl.float32)
    job = jobs + batch * jobs_b + owner * 7

    if RANGES:
        start = tl.load(job + 3)
        stop = tl.load(job + 4)
        if owner < runs:
            start, stop = share(start, stop, part, parts, RUN)
        acc_k, acc_v, acc_b = _key_range(
            keys, values, q, dout, lse2, delta, q_n, dout_n, start, stop, acc_k, acc_v, acc_b,
            scale, b, D, BLOCK_D, RUN, RUN_STAGES, DK, DV,
            BIAS, PIECE, PRECISION, EMULATE)  # fmt: skip

    first = tl.load(job)
    middle = tl.load(job + 1)
    last = tl.load(job + 2)
    n = tl.arange(0, TH * TW)
    i = n // TW
    j = n % TW
    token_q, y_q, x_q, width_q, end_q = advance(other_tiles, tl.load(entries + first))
    ahead = tl.load(entries + first + 1)
    for at in tl.range(first, middle, num_stages=TILE_STAGES, disable_licm=PIECE > 0):
        cell = token_q + i * width_q + j
        query = hold(q, cell, q_n, n < TH * TW, D, BLOCK_D, False, PIECE, EMULATE)
        up = hold(dout, cell, dout_n, n < TH * TW, D, BLOCK_D, False, PIECE, EMULATE)
        lse_row = tl.load(lse2 + cell)
        delta_row = tl.load(delta + cell)
        s = inner(keys, query, D, BLOCK_D, PIECE, PRECISION)
        acc_k, acc_v, acc_b = _key_step(s, query, up, values, lse_row, delta_row,
                                        acc_k, acc_v, acc_b, scale, b,
                                        D, BLOCK_D, DK, DV, BIAS, PIECE, PRECISION)  # fmt: skip
        token_q, y_q, x_q, width_q, end_q = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    down, across = places(OH, OW)
    if BITS:
        bits = tl.load(own + batch * own_b + row, mask=there, other=0)
    for at in tl.range(middle, last, num_stages=TILE_STAGES, disable_licm=PIECE > 0):
        cell = token_q + i * width_q + j
        exists = (x_q + j < width_q) & (cell < end_q)
        query = hold(q, cell, q_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        up = hold(dout, cell, dout_n, exists, D, BLOCK_D, True, PIECE, EMULATE)
        lse_row = tl.load(lse2 + cell, mask=exists, other=-HIDDEN)
        delta_row = tl.load(delta + cell, mask=exists, other=0.0)
        s = inner(keys, query, D, BLOCK_D, PIECE, PRECISION)
        if DISC:
            seen = near(down, across, limit, y, x, token_q, y_q, x_q, width_q, end_q,
                        TH, TW, BITS)  # fmt: skip
            s = tl.where(seen, s, HIDDEN)
        if BITS:
            group = tl.load(see + batch * see_b + cell, mask=exists, other=0)
            s = tl.where((bits[:, None] & group[None, :]) != 0, s, HIDDEN)
        acc_k, acc_v, acc_b = _key_step(s, query, up, values, lse_row, delta_row,
                                        acc_k, acc_v, acc_b, scale, b,
                                        D, BLOCK_D, DK, DV, BIAS, PIECE, PRECISION)  # fmt: skip
        token_q, y_q, x_q, width_q, end_q = advance(other_tiles, ahead)
        ahead = tl.load(entries + at + 2)

    if SECOND:
        start = tl.load(job + 5)
        stop = tl.load(job + 6)
        if owner < runs:
            start, stop = share(start, stop, part, parts, RUN)
        acc_k, acc_v, acc_b = _key_range(
            keys, values, q, dout, lse2, delta, q_n, dout_n, start, stop, acc_k, acc_v, acc_b,
            scale, b, D, BLOCK_D, RUN, RUN_STAGES, DK, DV,
            BIAS, PIECE, PRECISION, EMULATE)  # fmt: skip

    acc_k *= slope
    column = tl.arange(0, BLOCK_D)
    if owner < runs:
        slot = ((part * batch_heads + head).to(tl.int64) * runs + owner) * (OH * OW) + m
        to = slot[:, None] * BLOCK_D + column[None, :]
        if DK:
            tl.store(part_dk + to, acc_k)
            if BIAS:
                tl.store(part_dbias + slot, acc_b)
        if DV:
            tl.store(part_dv + to, acc_v)
    else:
        mask = there[:, None] & (column < D)[None, :]
        if DK:
            to = batch * dk_b + which * dk_h + row.to(tl.int64)[:, None] * dk_n + column[None, :]
            tl.store(dk + to, acc_k.to(dk.dtype.element_ty), mask=mask)
            if BIAS:
                tl.store(dbias + head.to(tl.int64) * total + row, acc_b, mask=there)
        if DV:
            to = batch * dv_b + which * dv_h + row.to(tl.int64)[:, None] * dv_n + column[None, :]
            tl.store(dv + to, acc_v.to(dv.dtype.element_ty), mask=mask)
