"""Runs joint attention whose image rows are edited, in fused calls over parts of the keys.

With LSE the log-sum-exp of a softmax, A_0 the source's and A_e the row's own attention, M and c as
in joint.py, for each image query and head:

    R   = Attn(Q_0, K_0, M c V_e / (M c 1)) with bias log(M c 1), over the keys that give
    w   = e^(LSE_R − LSE_0)                 what the taken columns carry, weighed
    w_1 = the same with c = 1               what they carry
    E   = Attn(Q_e, K_e, V_e) with bias log c, over the other columns
    s   = 1 / (1 + sum_n (1 − c[n]) e^(score_e[n] − LSE_E))
    O_e = (w R + (1 − w_1) s E) / (w + (1 − w_1) s)

ours. Without weights s = 1 and w = w_1: a convex combination of two attentions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..kernels.maps import attention_lse, lse, word_maps
from .call import Call
from .fused import fused
from .joint_plan import JointEdit, JointPlan, Keys, Level
from .plan import Seen
from .recorder import Recorder
from .sighted import attend_by_label
from .tensors import pick
from .windows import Windows

__all__ = ["run_joint"]

Levels = dict[tuple[int, Level], Tensor]
"""By what the columns of a row's image queries are normalised, [1, H, I]."""


def run_joint(
    call: Call,
    plan: JointPlan,
    bias: Tensor | None,
    recorder: Recorder | None,
    windows: Windows,
    seen: Seen,
) -> Tensor:
    """[B, H, N, D]; `bias` as `limits` gives it, but for discs in `windows`. Maps are recorded.

    Rows that nothing edits are one fused call on the stock pipeline's own tensors, and so keep its
    bits. ValueError without image tokens or for maps on none.
    """
    image = call.queries.image
    if image is None:
        raise ValueError(f"site: {call.site.name} has no image tokens to edit or to read")
    levels: Levels = {}
    parts, whole = call.unasked(), plan
    plan = plan.without(seen)
    if plan.plain:
        q, k = call.looks(plan.plain).of(plan.plain)
        own = bias if bias is None or len(bias) == 1 else pick(bias, plan.plain)
        measures = bool(set(plan.measured) & set(plan.plain))
        v = pick(call.v, plan.plain)
        out, found = windows.attend(plan.plain, q, k, v, own, wants_lse=measures)
        if found is not None:
            levels |= {
                (row, Level.ROW): found[i, None, :, image] for i, row in enumerate(plan.plain)
            }
        parts.append(out)
    table = windows.table(bias) if seen else bias
    for row in seen:
        parts.append(_by_label(call, whole, seen, row, table, levels))
    for row in plan.measured:
        if (row, Level.ROW) not in levels:
            q, k = call.looks([row]).of([row])
            own = bias if bias is None or len(bias) == 1 else bias[row : row + 1]
            levels[row, Level.ROW] = windows.lse(row, q, k, own)
    if plan.edits or plan.by_texts:  # not all queries, or not all keys
        bias = windows.table(bias)
    parts += [_edited(call, edit, bias, image, levels) for edit in plan.edits]
    if recorder is not None:
        _read(call, plan, bias, levels, recorder)
        _read_by_texts(call, plan, bias, recorder)
    if len(parts) == 1:
        return parts[0]
    order = (*range(call.batch.idle), *plan.plain, *seen, *(edit.row for edit in plan.edits))
    return pick(torch.cat(parts), [order.index(row) for row in range(len(order))])


def _by_label(
    call: Call, plan: JointPlan, seen: Seen, row: int, bias: Tensor | None, levels: Levels
) -> Tensor:
    """A row whose image queries see by label, [1, H, N, D]; of edits it has weights at most."""
    edit = next((edit for edit in plan.edits if edit.row == row), None)
    factor = None
    if edit is not None:
        factor = torch.full((call.shape[3],), -torch.inf, device=call.device)
        factor[edit.kept] = 0.0 if edit.bias is None else edit.bias.float()
    level = Level.ROW if edit is None else Level.KEPT
    read = any(p.looked == row and p.level is level for r in plan.readings for p in r.parts)
    wants = read or row in plan.measured
    looks = call.looks(range(call.shape[0]))
    out, found = attend_by_label(
        call, row, row, seen[row], looks, bias, factor=factor, wants_lse=wants
    )
    if found is not None:
        levels[row, level] = found[:, :, call.queries.image]
    return out


def _edited(
    call: Call, edit: JointEdit, bias: Tensor | None, image: slice, levels: Levels
) -> Tensor:
    """One row, [1, H, N, D]: its image queries edited, all others its own attention."""
    row, N = edit.row, call.shape[2]
    q, k = call.looks([row]).of([row])
    v = call.v[row : row + 1]
    parts = [_taken_and_kept(call, edit, q[:, :, image], k, v, bias, image, levels)]
    for others, first in ((slice(0, image.start), True), (slice(image.stop, N), False)):
        if others.start < others.stop:
            limit = _limit(bias, row, others, slice(None))
            own, _ = fused(q[:, :, others], k, v, call.scale, limit, wants_lse=False)
            parts.insert(0 if first else len(parts), own)
    return torch.cat(parts, 2)


def _taken_and_kept(
    call: Call,
    edit: JointEdit,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    image: slice,
    levels: Levels,
) -> Tensor:
    """O_e [1, H, I, D]; q of its image queries."""
    kept: tuple[Tensor, Tensor] | None = None
    if edit.kept is not None:
        limit = _sum(_limit(bias, edit.row, image, edit.kept), edit.bias)
        kept = attention_lse(q, _at(k, edit.kept), _at(v, edit.kept), scale=call.scale, bias=limit)
        levels[edit.row, Level.KEPT] = kept[1]
    if edit.source is None or edit.giving is None:
        assert kept is not None, "a row that takes nothing has columns of its own"
        return kept[0]

    looked, keys = call.looks([edit.source]).of([edit.source])
    looked = looked[:, :, image]
    limit = _sum(_limit(bias, edit.source, image, edit.giving), edit.weight)
    given, given_level = attention_lse(
        looked, _at(keys, edit.giving), _given(call, edit, v), scale=call.scale, bias=limit
    )
    if kept is None:
        levels[edit.row, Level.TAKEN] = given_level  # the row consists of it
        return given
    total = levels[edit.source, Level.ROW]
    carried = w = (given_level - total).exp()
    if edit.unweighed is not None:
        which, weight = edit.unweighed
        assert which is not None
        limit = _sum(_limit(bias, edit.source, image, which), weight)
        carried = (lse(looked, _at(keys, which), scale=call.scale, bias=limit) - total).exp()
    rest = (1 - carried).clamp(min=0)
    if edit.changed is not None:
        changed, less = edit.changed
        scores = q.to(rest) @ k[:, :, changed].to(rest).mT
        scores = scores * (q.shape[-1] ** -0.5 if call.scale is None else call.scale)
        limit = _limit(bias, edit.row, image, changed)
        scores = scores if limit is None else scores + limit
        rest = rest / (1 + (scores - kept[1][..., None]).exp() @ less.to(rest))
    whole = w + rest
    levels[edit.row, Level.TAKEN] = total + whole.log()
    levels[edit.row, Level.KEPT] = kept[1] + whole.log() - rest.log()
    mixed = given * (w / whole)[..., None] + kept[0] * (rest / whole)[..., None]
    return mixed.to(v.dtype)


def _given(call: Call, edit: JointEdit, v: Tensor) -> Tensor:
    """The row's values as the source's keys hand them out, [1, H, giving, D]."""
    text, image = call.keys.text, call.keys.image
    assert edit.giving is not None and text is not None and image is not None
    if edit.values is None:
        return _at(v, edit.giving)
    parts = [edit.values @ v[:, :, text]]
    if edit.layout:
        parts.insert(0 if image.start < text.start else 1, v[:, :, image])
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _read(
    call: Call, plan: JointPlan, bias: Tensor | None, levels: Levels, recorder: Recorder
) -> None:
    """Adds the maps that the controls ask for to the recorder, [H-mean, I] by words."""
    image, grid = call.queries.image, call.queries.grid
    if plan.readings and grid is None:
        raise ValueError(f"site: {call.site.name} has no image grid, so it has no word maps")
    for reading in plan.readings:
        assert image is not None and grid is not None
        wide = torch.promote_types(call.v.dtype, torch.float32)
        sizes = image.stop - image.start, len(reading.words)
        found = torch.zeros(sizes, dtype=wide, device=call.device)
        for part in reading.parts:
            level = levels[part.looked if part.level is Level.ROW else reading.row, part.level]
            q, k = call.looks([part.looked]).of([part.looked])
            limit = _limit(bias, part.looked, image, part.keys)
            found = (
                found
                + word_maps(
                    q[:, :, image],
                    k[:, :, part.keys],
                    part.weights[None],
                    level.contiguous(),
                    scale=call.scale,
                    bias=limit,
                )[0]
            )
        of = call.batch.rows[reading.row].image
        for i, (word, owners) in enumerate(zip(reading.words, reading.owners, strict=True)):
            for owner in owners:
                recorder.add(owner, grid, word, of, found[:, i])


def _read_by_texts(call: Call, plan: JointPlan, bias: Tensor | None, recorder: Recorder) -> None:
    """Adds how much each text token looks at the words, [H-mean, T] by words."""
    for reading in plan.by_texts:
        (part,), text = reading.parts, call.queries.text
        assert text is not None
        q, k = call.looks([reading.row]).of([reading.row])
        q, limit = q[:, :, text], _limit(bias, reading.row, text, slice(None))
        level = lse(q, k, scale=call.scale, bias=limit)
        there = None if limit is None else limit[..., part.keys]
        keys, weights = k[:, :, part.keys], part.weights[None]
        found = word_maps(q, keys, weights, level, scale=call.scale, bias=there)[0]
        of = call.batch.rows[reading.row].image
        for i, (word, owners) in enumerate(zip(reading.words, reading.owners, strict=True)):
            for owner in owners:
                recorder.add(owner, (call.texts, 1), word, of, found[:, i])


def _limit(bias: Tensor | None, row: int, queries: slice, keys: Keys) -> Tensor | None:
    """What the row's limits add there, [1, 1 or H, 1 or queries, keys]."""
    if bias is None:
        return None
    own = bias[row : row + 1] if bias.shape[0] > 1 else bias
    return (own if own.shape[2] == 1 else own[:, :, queries])[..., keys]


def _sum(limit: Tensor | None, weight: Tensor | None) -> Tensor | None:
    if limit is None or weight is None:
        return limit if weight is None else weight[None, None, None]
    return limit + weight


def _at(x: Tensor, keys: Keys) -> Tensor:
    return x[:, :, keys]
