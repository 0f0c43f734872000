"""Starts the backward kernels and adds up the parts of runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..launch import LOG2E, ROWS, Rule, by_rows, launched, run, step
from ..plan import Plan, parts_of
from ..settings import Setting, block_of
from . import triton as kernels

__all__ = ["Inputs", "inputs", "key_gradients", "query_gradient"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """What both kernels read. lse2, delta: [B, H, N] fp32, the LSE in base 2 and δ of every row."""

    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor
    lse2: Tensor
    delta: Tensor
    scale: float
    bias: Tensor | None


def inputs(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    bias: Tensor | None,
) -> Inputs:
    """Shapes as in the forward pass; dlse like lse, or None."""
    B, H, N, D = q.shape
    dout = dout if dout.stride(3) == 1 else dout.contiguous()
    lse = lse.contiguous()
    lse2, delta = torch.empty_like(lse), torch.empty_like(lse)
    given = lse if dlse is None else dlse
    run(
        kernels.rows_kernel,
        (-(-N // ROWS), B * H),
        (
            *(out, dout, lse, given, lse2, delta),
            *(*out.stride()[:3], *dout.stride()[:3], *given.stride(), H, N),
        ),
        {**by_rows(D), "DLSE": dlse is not None},
    )
    return Inputs(q, k, v, dout, lse2, delta, scale, bias)


def query_gradient(given: Inputs, plan: Plan, setting: Setting, rule: Rule) -> Tensor:
    """dq in q's type, contiguous."""
    q, k, v, dout = given.q, given.k, given.v, given.dout
    B, H, N, D = q.shape
    rows, owners = setting.own[0] * setting.own[1], plan.own.shape[0]
    dq = q.new_empty(q.shape)
    parts = parts_of(plan, N, setting.run, B * H)
    part = given.lse2.new_empty(parts, B, H, plan.split * rows, block_of(D))
    see, own = (plan.jobs if x is None else x for x in (rule.see, rule.own))
    weights = given.lse2 if given.bias is None else given.bias
    programs = (plan.split * parts + owners - plan.split) * B * H
    read = (
        *(q, k, v, dout, given.lse2, given.delta, dq, part, weights, see, own),
        *(plan.own, plan.other, plan.entries, plan.jobs),
        *(*q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3]),
        *(*dq.stride()[:3], *weights.stride(), step(see), step(own), step(plan.jobs)),
        *(H, B * H, N, owners, plan.split, parts),
        *(given.scale * LOG2E, float(rule.limit or 0), given.scale),
    )
    run(kernels.query_kernel, (programs,), read, launched(q, setting, plan, rule, given.bias))
    _add_up(part, dq, plan, rows)
    return dq


def key_gradients(
    given: Inputs, plan: Plan, setting: Setting, rule: Rule
) -> tuple[Tensor, Tensor, Tensor | None]:
    """dk and dv in their types, contiguous; dbias [B, H, S] fp32 or None."""
    q, k, v, dout = given.q, given.k, given.v, given.dout
    B, H, N, D = q.shape
    S = k.shape[2]
    rows, owners = setting.own[0] * setting.own[1], plan.own.shape[0]
    dk, dv = k.new_empty(k.shape), v.new_empty(v.shape)
    dbias = given.lse2.new_empty(B, H, S if given.bias is not None else 0)
    parts = parts_of(plan, N, setting.run, B * H)
    part_k = given.lse2.new_empty(parts, B, H, plan.split * rows, block_of(D))
    part_v = torch.empty_like(part_k)
    part_b = part_k.new_empty(parts, B, H, plan.split * rows, 1)
    see, own = (plan.jobs if x is None else x for x in (rule.see, rule.own))
    weights = given.lse2 if given.bias is None else given.bias
    programs = (plan.split * parts + owners - plan.split) * B * H
    read = (
        *(q, k, v, dout, given.lse2, given.delta, dk, dv, dbias, part_k, part_v, part_b),
        *(weights, see, own, plan.own, plan.other, plan.entries, plan.jobs),
        *(*q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3]),
        *(*dk.stride()[:3], *dv.stride()[:3], *weights.stride()),
        *(step(see), step(own), step(plan.jobs)),
        *(H, B * H, N, S, owners, plan.split, parts),
        *(given.scale * LOG2E, float(rule.limit or 0), given.scale),
    )
    options = launched(q, setting, plan, rule, given.bias)
    for which in setting.launches("key"):
        run(kernels.key_kernel, (programs,), read, {**options, **which})
    _add_up(part_k, dk, plan, rows)
    _add_up(part_v, dv, plan, rows)
    if given.bias is None:
        return dk, dv, None
    _add_up(part_b, dbias[..., None], plan, rows)
    return dk, dv, dbias


def _add_up(parts: Tensor, into: Tensor, plan: Plan, rows: int) -> None:
    """Sums of the parts [parts, B, H, tile rows, D], run by run, to where the runs lie."""
    first = 0
    for offset, length in plan.runs:
        some = parts[:, :, :, first : first + length, : into.shape[3]]
        into[:, :, offset : offset + length] = some.sum(0)
        first += -(-length // rows) * rows
