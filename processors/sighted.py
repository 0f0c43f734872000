"""The attention of a row whose image queries see by label: one fused call a label, keys gathered.

ours: what IR-Diffusion, ConsiStory and their kind do with a mask over the keys of all pictures,
exactly, at the cost of the visible pairs (see sight.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..kernels.maps import lse
from .call import Call
from .fused import fused
from .sight import Group, Reference
from .tensors import Looks

__all__ = ["attend_by_label", "rows_seen"]


def rows_seen(groups: Sequence[Group]) -> frozenset[int]:
    """Rows whose keys are references."""
    return frozenset(reference.row for group in groups for reference in group.references)


def attend_by_label(
    call: Call,
    row: int,
    looked: int,
    groups: Sequence[Group],
    looks: Looks,
    bias: Tensor | None,
    *,
    factor: Tensor | None = None,
    wants_lse: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Output [1, H, N, D] of one row, and the LSE [1, H, N] of its queries if that is wanted.

    looked: the row whose queries and keys stand for its own.
    looks:  those of this row and of all references.
    bias:   what `limits` gives; it concerns the row's own keys.
    factor: [S] fp32, nats added to own keys for image queries only.
    """
    image, N = call.queries.image, call.shape[2]
    assert image is not None
    q, k = looks.of([looked])
    v = call.v[row : row + 1]
    limit = None if bias is None else bias[row : row + 1] if len(bias) > 1 else bias
    parts, levels, order = [], [], []

    def attend(queries: slice | Tensor, own: Tensor | None, group: Group | None) -> None:
        asked, keys, values, weight = q[:, :, queries], k, v, None
        if group is not None:
            keys, values, weight = _keys(call, group, k, v, looks, factor)
        added = _added(limit, queries, own, weight, keys.shape[2])
        part, level = fused(asked, keys, values, call.scale, added, wants_lse=wants_lse)
        if wants_lse:
            known = lse(asked, keys, scale=call.scale, bias=added) if level is None else level
            levels.append(known)
        parts.append(part)
        order.append(torch.arange(N, device=call.device)[queries])

    for rest in (slice(0, image.start), slice(image.stop, N)):
        if rest.start < rest.stop:
            attend(rest, None, None)
    for group in groups:
        chosen = image if group.queries is None else group.queries + image.start
        attend(chosen, _own(call, group), group)
    if len(parts) == 1:
        return parts[0], levels[0] if levels else None
    back = torch.cat(order).argsort()  # not written in place: gradients may go through
    out = torch.cat(parts, 2).index_select(2, back)
    return out, torch.cat(levels, 2).index_select(2, back) if levels else None


def _own(call: Call, group: Group) -> Tensor | None:
    """[K] positions among the call's keys that are the row's own; None = all of them."""
    image, size = call.keys.image, call.shape[3]
    assert image is not None
    if group.own is None:
        return None
    every = torch.arange(size, device=call.device)
    return torch.cat([every[: image.start], group.own + image.start, every[image.stop :]])


def _keys(
    call: Call, group: Group, k: Tensor, v: Tensor, looks: Looks, factor: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys, values and, [K], nats of each; None = zeros."""
    image, own = call.keys.image, _own(call, group)
    assert image is not None
    if own is not None:
        k, v = k.index_select(2, own), v.index_select(2, own)
    weight = torch.zeros(k.shape[2], device=call.device)
    if factor is not None:
        weight = weight + (factor if own is None else factor[own])
    if group.weight is not None:
        weight[image.start : image.start + len(group.weight)] += group.weight
    found = [(k, v, weight)] + [_reference(call, r, looks) for r in group.references]
    keys, values = (torch.cat([part[i] for part in found], 2) for i in (0, 1))
    weights = torch.cat([part[2] for part in found])
    return keys, values, weights if bool(weights.any()) else None


def _reference(call: Call, reference: Reference, looks: Looks) -> tuple[Tensor, Tensor, Tensor]:
    part = call.keys.text if reference.text else call.keys.image
    assert part is not None
    _, k = looks.of([reference.row])
    k, v = k[:, :, part], call.v[reference.row : reference.row + 1, :, part]
    if reference.keys is not None:
        k, v = k.index_select(2, reference.keys), v.index_select(2, reference.keys)
    if reference.moved is not None and call.site.rotary is not None:
        k = call.site.rotary.turned(k, reference.moved)
    k = k if reference.factor == 1 else k * reference.factor
    weight = torch.zeros(k.shape[2], device=k.device)
    if reference.weight is not None:
        weight = weight + reference.weight
    if reference.text and call.bias is not None:  # padding that the model itself hides
        own = call.bias[reference.row if len(call.bias) > 1 else 0, 0, 0, part]
        weight = weight + (own if reference.keys is None else own[reference.keys])
    return k, v, weight


def _added(
    limit: Tensor | None,
    queries: slice | Tensor,
    own: Tensor | None,
    weight: Tensor | None,
    size: int,
) -> Tensor | None:
    """What is added to the scores, [1, 1 or H, 1 or M, K]; references know no limits."""
    if limit is None:
        return None if weight is None else weight[None, None, None]
    limit = limit if limit.shape[2] == 1 else limit[:, :, queries]
    limit = limit if own is None else limit[..., own]
    limit = torch.nn.functional.pad(limit, (0, size - limit.shape[3]))
    return limit if weight is None else limit + weight
