"""Runs one attention call under its controls: tokens, mask and bias, mix, a kernel, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels.maps import attention_lse, fuses_lse
from .call import Call, Kind
from .control import Control
from .limits import limits
from .mix import Mix
from .readings import Pair, read
from .recorder import Recorder

__all__ = ["run"]

Kernel = Callable[
    [Tensor, Tensor, Tensor, float | None, Tensor | None], tuple[Tensor, Tensor | None]
]


def run(call: Call, controls: Sequence[Control], recorder: Recorder | None = None) -> Tensor:
    """The output [B, H, N, D] of a call under the controls that act at its site and step.

    Only the controls that `acts` names may come. With none, or with identities only, the bits are
    those of `F.scaled_dot_product_attention`.
    """
    for control in controls:
        call = control.tokens(call)
    bias = limits(call, controls)
    mix = Mix.own(call.q.shape[0])
    for control in controls:
        mix = control.mix(call, mix)
    mix = mix.merged(call.k.shape[2])
    _check(call, controls, mix)

    other = _other_operator(call, controls)
    if other is not None:
        return other
    if any(control.overrides("edit") for control in controls):
        return _by_probabilities(call, controls, mix, bias, recorder)
    records = recorder is not None and any(control.overrides("record") for control in controls)
    output, lses = _by_mix(call, mix, bias, records=records)
    if recorder is not None and records:
        read(call, controls, mix, bias, lses, recorder)
    return output


def _by_mix(
    call: Call, mix: Mix, bias: Tensor | None, *, records: bool
) -> tuple[Tensor, Mapping[Pair, Tensor]]:
    """One fused call over all terms, [B, H, N, D], and the LSE [H, N] of each pair."""
    terms = [(row, term) for row, terms in enumerate(mix.rows) for term in terms]
    pairs = [(row, term.row) for row, term in terms]
    q, k, v = call.q, call.k, call.v
    if pairs != [(row, row) for row in range(len(mix.rows))]:
        q, k = (torch.stack([x[looked] for _, looked in pairs]) for x in (q, k))
        if bias is not None and bias.shape[0] > 1:
            bias = torch.stack([bias[row] for row, _ in pairs])
    if not mix.plain:
        v = torch.stack([term.apply(call.v[row]) for row, term in terms])

    wants_lse = records and fuses_lse(q, k, v, bias)
    parts, lse = _KERNELS[bias is not None, wants_lse](q, k, v, call.scale, bias)
    lses = {} if lse is None else dict(zip(pairs, lse, strict=True))
    if all(len(terms) == 1 and terms[0].weight is None for terms in mix.rows):
        return parts, lses

    sums: list[Tensor | None] = [None] * len(mix.rows)
    for (row, term), part in zip(terms, parts, strict=True):
        weighed = part if term.weight is None else part * term.weight.to(part)[:, None]
        so_far = sums[row]
        sums[row] = weighed if so_far is None else so_far + weighed
    return torch.stack([torch.zeros_like(call.q[0]) if s is None else s for s in sums]), lses


def _by_probabilities(
    call: Call,
    controls: Sequence[Control],
    mix: Mix,
    bias: Tensor | None,
    recorder: Recorder | None,
) -> Tensor:
    """The slow road for controls with `edit`: all probabilities, [B, H, N, S]."""
    factor = call.q.shape[-1] ** -0.5 if call.scale is None else call.scale
    rows = []
    for row, terms in enumerate(mix.rows):
        wide = torch.promote_types(call.q.dtype, torch.float32)
        shape = (*call.q.shape[1:3], call.k.shape[2])
        total = torch.zeros(shape, device=call.q.device, dtype=wide)
        for term in terms:
            scores = (call.q[term.row].to(wide) * factor) @ call.k[term.row].to(wide).mT
            if bias is not None:
                scores = scores + bias[row if bias.shape[0] > 1 else 0].to(scores)
            probs = scores.softmax(-1)
            if term.matrix is not None or term.scale is not None:
                probs = probs @ term.value_map(call.k.shape[2]).to(probs)
            total = total + (
                probs if term.weight is None else probs * term.weight.to(probs)[:, None]
            )
        rows.append(total)
    probs = torch.stack(rows)
    for control in controls:
        probs = control.edit(probs, call)
    if recorder is not None:
        read(call, controls, mix, bias, {}, recorder, probs=probs)
    return probs.to(call.v.dtype) @ call.v


def _other_operator(call: Call, controls: Sequence[Control]) -> Tensor | None:
    found = [out for control in controls if (out := control.attend(call)) is not None]
    return found[0] if found else None


def _check(call: Call, controls: Sequence[Control], mix: Mix) -> None:
    """Combinations that have no meaning are refused, each in one sentence."""
    operators = [type(c).__name__ for c in controls if c.overrides("attend")]
    if len(operators) > 1:
        raise ValueError(
            f"controls: {' and '.join(operators)} both replace the attention of {call.site.name}; "
            "one site can have one operator"
        )
    if operators and not (mix.plain and not any(c.overrides("edit") for c in controls)):
        raise ValueError(
            f"controls: {operators[0]} replaces the attention of {call.site.name}, so its maps "
            "cannot be edited there; give the two different steps or sites"
        )
    if call.site.kind is Kind.JOINT and not mix.plain:
        raise ValueError(
            f"controls: maps of joint attention ({call.site.name}) cannot be mixed column by column"
        )


def _fused(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    mask = None if bias is None else bias.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale), None


def _with_lse(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, bias: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    return attention_lse(q, k, v, scale=scale, bias=bias)


_KERNELS: Mapping[tuple[bool, bool], Kernel] = {  # (limited by mask or bias, wants the LSE)
    (False, False): _fused,
    (True, False): _fused,
    (False, True): _with_lse,
    (True, True): _with_lse,
}
