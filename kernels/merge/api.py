"""Attentions over parts of the keys, merged into the attention over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from . import reference

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["merge"]

IMPLS = ("auto", "reference", "triton")


def merge(
    outs: Tensor | Sequence[Tensor],
    lses: Tensor | Sequence[Tensor],
    *,
    impl: Literal["auto", "reference", "triton"] = "auto",
) -> tuple[Tensor, Tensor]:
    """One attention from those over disjoint sets of keys.

        lse = log sum_p exp(lse_p)        out = sum_p w_p out_p         w_p = exp(lse_p − lse)
        dout_p = w_p dout                 dlse_p = w_p (dlse + dout · (out_p − out))

    outs: [P, B, H, N, D] or P of [B, H, N, D];  lses: [P, B, H, N] or P of [B, H, N], natural log,
    fp32 (fp64 with fp64), −inf for a row without keys, whose output may be anything, NaN even.
    Returns both for all keys, [B, H, N, D] and [B, H, N]; a row that sees nothing is zero and −inf,
    with zero gradients. Gradients, once, of outs and lses. ValueError when the two do not fit.
    impl: auto = triton on CUDA but for fp64, else reference; a named one never falls back to
    another.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl: came {impl!r}; expected one of {', '.join(IMPLS)}")
    if len(outs) != len(lses) or not len(outs):
        raise ValueError(
            f"outs, lses: came {len(outs)} and {len(lses)}; expected equally many, one at least"
        )
    outs, lses = _stacked("outs", outs), _stacked("lses", lses)
    wide = torch.promote_types(outs.dtype, torch.float32)
    if outs.ndim != 5 or lses.shape != outs.shape[:-1] or lses.dtype != wide:
        raise ValueError(
            f"lses: came {lses.dtype} of shape {list(lses.shape)}; expected {wide} "
            f"[P, B, H, N] as outs of shape {list(outs.shape)}"
        )
    if lses.device != outs.device:
        raise ValueError(f"lses: came on {lses.device}; expected {outs.device} as outs")
    if impl == "auto":
        impl = "triton" if outs.is_cuda and outs.dtype != torch.float64 else "reference"
    out, lse = _merge(outs, lses, impl)
    return out, lse


def _stacked(name: str, parts: Tensor | Sequence[Tensor]) -> Tensor:
    if isinstance(parts, Tensor):
        return parts
    first = parts[0]
    for x in parts[1:]:
        if x.shape != first.shape or x.dtype != first.dtype or x.device != first.device:
            raise ValueError(
                f"{name}: came {x.dtype} of shape {list(x.shape)} on {x.device} beside "
                f"{first.dtype} of shape {list(first.shape)} on {first.device}; expected all alike"
            )
    return torch.stack(tuple(parts))


def _module(impl: str) -> ModuleType:
    if impl == "reference":
        return reference
    from . import triton

    return triton


@torch.library.custom_op("attention_studio::merge", mutates_args=())
def _merge(outs: Tensor, lses: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    out, lse = _module(impl).forward(outs, lses)
    return out, lse


@_merge.register_fake
def _(outs: Tensor, lses: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    return outs.new_empty(outs.shape[1:]), lses.new_empty(lses.shape[1:])


@torch.library.custom_op("attention_studio::merge_backward", mutates_args=())
def _merge_backward(
    dout: Tensor, dlse: Tensor, outs: Tensor, lses: Tensor, out: Tensor, lse: Tensor, impl: str
) -> tuple[Tensor, Tensor]:
    douts, dlses = _module(impl).backward(dout, dlse, outs, lses, out, lse)
    return douts, dlses


@_merge_backward.register_fake
def _(
    dout: Tensor, dlse: Tensor, outs: Tensor, lses: Tensor, out: Tensor, lse: Tensor, impl: str
) -> tuple[Tensor, Tensor]:
    return outs.new_empty(outs.shape), lses.new_empty(lses.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    outs, lses, ctx.impl = inputs
    ctx.save_for_backward(outs, lses, *output)


def _backward(ctx: Any, dout: Tensor, dlse: Tensor) -> tuple[Tensor | None, ...]:
    douts, dlses = _merge_backward(dout, dlse, *ctx.saved_tensors, ctx.impl)
    return douts, dlses, None


_merge.register_autograd(_backward, setup_context=_keep)
