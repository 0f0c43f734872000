"""Runs one attention call under its controls: tokens, mask and bias, mix, a kernel, record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from .call import Call, Kind
from .control import Control
from .joint_attention import run_joint
from .joint_plan import JointPlan
from .limits import limits
from .plan import Plan, Plans, Seen
from .readings import Pair, read
from .recorder import Recorder
from .sighted import attend_by_label, rows_seen
from .tensors import Looks, pick
from .windows import Windows

__all__ = ["run"]


def run(
    call: Call,
    controls: Sequence[Control],
    recorder: Recorder | None = None,
    plans: Plans | None = None,
) -> Tensor:
    """The output [B, H, N, D] of a call under the controls that act at its site and step.

    Only the controls that `acts` names may come. With none, or with identities only, the bits are
    those of `F.scaled_dot_product_attention`. `plans` keeps what consecutive steps share.
    """
    for control in controls:
        call = control.tokens(call)
    windows = Windows.of(call, controls)
    bias = limits(call, controls, masks=not windows.any)
    plans = plans or Plans()
    dense = any(control.overrides("edit") for control in controls)
    seen = plans.seen(call, controls)
    if call.site.kind is Kind.JOINT:
        joint = plans.of(call, controls, JointPlan.of)
        taken = {edit.row for edit in joint.edits if edit.source is not None}
        _check(call, controls, edits=dense or bool(joint.edits), seen=seen, mixed=taken)
        out = _other_operator(call, controls)
        if out is None:
            out = run_joint(call, joint, bias, recorder, windows, seen)
    else:
        plan = plans.of(call, controls, Plan.of)
        sums = {row for row in plan.mixed if plan.mix.looked(row) is None}
        _check(call, controls, edits=dense or not plan.mix.plain, seen=seen, mixed=sums)
        out = _other_operator(call, controls)
        if out is None:
            out = _attention(call, controls, plan, bias, recorder, windows, seen, dense=dense)
    for control in controls:
        out = control.finish(call, out)
    return out


def _attention(
    call: Call,
    controls: Sequence[Control],
    plan: Plan,
    bias: Tensor | None,
    recorder: Recorder | None,
    windows: Windows,
    seen: Seen,
    *,
    dense: bool,
) -> Tensor:
    """[B, H, N, D] where image and text are not in one softmax."""
    if dense:
        bias = windows.table(bias)
        return _by_probabilities(call, controls, plan, bias, recorder)
    records = recorder is not None and bool(plan.readings)
    looked = {row for groups in seen.values() for row in rows_seen(groups)}
    looks = call.looks(sorted({*plan.looks, *looked}))
    output, lses = _by_plan(call, plan, looks, bias, windows, seen, records=records)
    if recorder is not None:
        bias = windows.table(bias) if plan.readings else bias
        read(call, plan.readings, looks, bias, lses, recorder)
    return output


def _by_plan(
    call: Call,
    plan: Plan,
    looks: Looks,
    bias: Tensor | None,
    windows: Windows,
    seen: Seen,
    *,
    records: bool,
) -> tuple[Tensor, Mapping[Pair, Tensor]]:
    """[B, H, N, D], and the LSE [H, N] of each pair.

    At most two fused calls, and for each row that sees by label one for each of its labels.
    """
    lses: dict[Pair, Tensor] = {}
    mix, plan = plan.mix, plan.without(seen)

    def attend(pairs: Sequence[Pair], values: Tensor) -> Tensor:
        rows, looked = ([pair[i] for pair in pairs] for i in (0, 1))
        q, k = looks.of(looked)
        own = bias if bias is None or len(bias) == 1 else pick(bias, rows)
        out, lse = windows.attend(rows, q, k, values, own, wants_lse=records)
        if lse is not None:
            lses.update(zip(pairs, lse, strict=True))
        return out

    parts = call.unasked()
    if plan.plain:
        parts.append(attend([(row, row) for row in plan.plain], pick(call.v, plan.plain)))
    if plan.mixed:
        parts.append(_mixed(call, plan, attend))
    table = windows.table(bias) if seen else bias
    for row, groups in seen.items():
        looked = mix.looked(row)
        assert looked is not None, "checked"
        part, level = attend_by_label(call, row, looked, groups, looks, table, wants_lse=records)
        parts.append(part)
        if level is not None:
            lses[row, looked] = level[0]
    if len(parts) == 1:
        return parts[0], lses
    order = (*range(call.batch.idle), *plan.plain, *plan.mixed, *seen)
    return pick(torch.cat(parts), [order.index(row) for row in range(len(order))]), lses


def _mixed(call: Call, plan: Plan, attend: Callable[[Sequence[Pair], Tensor], Tensor]) -> Tensor:
    """The rows that are sums of terms, [R, H, N, D]."""
    sums: dict[int, Tensor] = {}
    if plan.terms:
        if all(term.identity for _, term in plan.terms):
            values = pick(call.v, [row for row, _ in plan.terms])
        else:
            values = torch.stack([term.apply(call.v[row]) for row, term in plan.terms])
        parts = attend([(row, term.row) for row, term in plan.terms], values)
        one_each = tuple(row for row, _ in plan.terms) == plan.mixed
        if one_each and all(term.weight is None for _, term in plan.terms):
            return parts
        for (row, term), part in zip(plan.terms, parts, strict=True):
            weighed = part if term.weight is None else part * term.weight[:, None]
            sums[row] = sums[row] + weighed if row in sums else weighed
    _, H, N, _ = call.shape
    none = call.v.new_zeros(H, N, call.v.shape[-1])
    return torch.stack([sums.get(row, none) for row in plan.mixed])


def _by_probabilities(
    call: Call,
    controls: Sequence[Control],
    plan: Plan,
    bias: Tensor | None,
    recorder: Recorder | None,
) -> Tensor:
    """The slow road for controls with `edit`: all probabilities, [B, H, N, S]."""
    _, H, N, S = call.shape
    q, k = call.q, call.k
    factor = q.shape[-1] ** -0.5 if call.scale is None else call.scale
    wide = torch.promote_types(q.dtype, torch.float32)
    rows = []
    for row, terms in enumerate(plan.mix.rows):
        total = torch.zeros(H, N, S, device=call.device, dtype=wide)
        for term in terms:
            scores = (q[term.row].to(wide) * factor) @ k[term.row].to(wide).mT
            if bias is not None:
                scores = scores + bias[row if bias.shape[0] > 1 else 0].to(scores)
            probs = scores.softmax(-1)
            if term.matrix is not None or term.scale is not None:
                probs = probs @ term.value_map(S).to(probs)
            total = total + (
                probs if term.weight is None else probs * term.weight.to(probs)[:, None]
            )
        rows.append(total)
    probs = torch.stack(rows)
    for control in controls:
        probs = control.edit(probs, call)
    if recorder is not None:
        read(call, plan.readings, call.looks(plan.looks), bias, {}, recorder, probs=probs)
    return probs.to(call.v.dtype) @ call.v


def _other_operator(call: Call, controls: Sequence[Control]) -> Tensor | None:
    found = [out for control in controls if (out := control.attend(call)) is not None]
    return found[0] if found else None


def _check(
    call: Call,
    controls: Sequence[Control],
    *,
    edits: bool,
    seen: Seen,
    mixed: Collection[int],
) -> None:
    """Combinations that have no meaning are refused, each in one sentence.

    mixed: rows that are made of several attentions.
    """
    verbs = ["attend", "edit", *(["mix"] if set(mixed) & set(seen) else [])]
    whole = [type(c).__name__ for c in controls if any(map(c.overrides, verbs))]
    seeing = [type(c).__name__ for c in controls if c.overrides("sees")]
    if whole and seen:
        raise ValueError(
            f"controls: {whole[0]} edits the attention of {call.site.name}, where {seeing[0]} says "
            "which keys queries see; give the two different steps or sites"
        )
    operators = [type(c).__name__ for c in controls if c.overrides("attend")]
    if len(operators) > 1:
        raise ValueError(
            f"controls: {' and '.join(operators)} both replace the attention of {call.site.name}; "
            "one site can have one operator"
        )
    if operators and edits:
        raise ValueError(
            f"controls: {operators[0]} replaces the attention of {call.site.name}, so its maps "
            "cannot be edited there; give the two different steps or sites"
        )
    dense = [type(c).__name__ for c in controls if c.overrides("edit")]
    if dense and call.site.kind is Kind.JOINT:
        raise ValueError(
            f"controls: {dense[0]} edits all probabilities, which are not formed in the joint "
            f"attention of {call.site.name}; expected edits of columns, as `mix` makes them"
        )
