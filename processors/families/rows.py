"""Whose the rows of a denoiser's call are, in the two ways that pipelines guide."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..call import Batch, Role, Row
from .family import Encoded

__all__ = ["apart", "only", "together"]


def together(encoded: Encoded, context: Tensor, *, skips: bool = False) -> Batch:
    """[uncond; cond] in one call, prompt-major.

    skips: with guidance, a call on the conditional embeddings alone skips layers: it is nobody's.
    """
    roles = [Role.COND] if encoded.uncond is None else [Role.UNCOND, Role.COND]
    if skips and encoded.uncond is not None and context is encoded.cond:
        roles = [Role.OTHER]
    rows = _rows(encoded, roles)
    if len(rows) != context.shape[0]:
        raise ValueError(
            f"pipe: its denoiser got {context.shape[0]} rows; expected {len(rows)}: "
            "the unconditional and conditional ones of every picture in one call"
        )
    return Batch(rows)


def apart(encoded: Encoded, context: Tensor) -> Batch:
    """A call for each, told apart by which of `encode_prompt`'s tensors it is given."""
    if context is encoded.cond:
        return Batch(_rows(encoded, [Role.COND]))
    if context is encoded.uncond:
        return Batch(_rows(encoded, [Role.UNCOND]))
    raise ValueError(
        "pipe: its denoiser got embeddings that its encode_prompt has not just given, so that "
        "nobody knows whose they are; expected those of the prompts or the negative prompts"
    )


def only(asked: Mapping[str, Any], rows: Sequence[int], batched: Collection[str]) -> dict[str, Any]:
    """Arguments of a forward for some rows; `batched`: those with an entry, or none, for each."""
    return {k: _only(v, rows) if k in batched else v for k, v in asked.items()}


def _rows(encoded: Encoded, roles: Sequence[Role]) -> tuple[Row, ...]:
    places = [(p, i) for p in range(encoded.prompts) for i in range(encoded.images)]
    return tuple(Row(p, i, role) for role in roles for p, i in places)


def _only(value: Any, rows: Sequence[int]) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        return value[list(rows)]
    if isinstance(value, Mapping):
        return {key: _only(part, rows) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_only(part, rows) for part in value)
    return value
