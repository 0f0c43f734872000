"""Maps of chosen words: head-mean columns of the attention, from its log-sum-exp."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ..inputs import choose, module
from . import reference

__all__ = ["word_maps"]


def word_maps(
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    impl: Literal["auto", "reference", "tiled", "triton"] = "auto",
) -> Tensor:
    """Head-mean of chosen columns of the map, summed by word: [B, N, W], precise as the LSE.

        out[b,i,w] = mean_h sum_t P[b,h,i,t] words[b,t,w]
        P[b,h,i,t] = exp(q[b,h,i]·k[b,h,t] · scale + bias[b,h,i,t] − lse[b,h,i])

    Nothing of size H·N·T is ever held, neither here nor in the backward.

    q [B, H, N, D];  k [B, H, T, D], the chosen keys only;  words [B or 1, T, W], what each key
    counts for each word;  lse [B, H, N] over *all* keys, fp32 (fp64 with fp64), −inf for a query
    that sees nothing, whose maps are zero;  bias broadcastable to [B, H, N, T];  scale None =
    1/sqrt(D).
    impl: reference = the oracle, tiled = torch with bounded scratch, triton (at most 256 channels,
    128 of fp32); auto = triton on CUDA where it can be, else tiled. A named one never falls back to
    another.

    Gradients, once: of q, k (the chosen keys) and lse. A map also moves with the keys that were not
    chosen, through lse alone: give the LSE of `attention_lse` and backward reaches all of them.
    ValueError for words or a bias that require grad, except with `reference`.
    """
    _check(q, k, words, lse, bias)
    B, H, N, D = q.shape
    factor = D**-0.5 if scale is None else scale
    words = words.to(lse).expand(B, -1, -1)
    chosen = choose(impl, q)
    if chosen == "reference":
        return reference.word_maps(q, k, words, lse, bias, factor)
    for name, x in (("words", words), ("bias", bias)):
        if x is not None and x.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{name}: requires grad, which impl {chosen!r} does not give; expected a constant, "
                "or impl='reference'"
            )
    bias = None if bias is None else bias.expand(B, H, N, k.shape[2])
    return _word_maps(q, k, words, lse, bias, factor, chosen)


def _check(q: Tensor, k: Tensor, words: Tensor, lse: Tensor, bias: Tensor | None) -> None:
    if q.ndim != 4:
        raise ValueError(f"q: came shape {_sizes(q)}; expected [B, H, N, D]")
    B, H, N, D = q.shape
    if k.shape != (B, H, k.shape[-2], D) or k.dtype != q.dtype:
        raise ValueError(
            f"k: came {k.dtype} of shape {_sizes(k)}; expected {q.dtype} [{B}, {H}, T, {D}] as q"
        )
    for name, x in (("k", k), ("words", words), ("lse", lse), ("bias", bias)):
        if x is not None and x.device != q.device:
            raise ValueError(f"{name}: came on {x.device}; expected {q.device} as q")
    T = k.shape[2]
    if words.ndim != 3 or words.shape[0] not in (1, B) or words.shape[1] != T:
        raise ValueError(f"words: came shape {_sizes(words)}; expected [{B} or 1, {T}, W]")
    wide = torch.promote_types(q.dtype, torch.float32)
    if lse.shape != (B, H, N) or lse.dtype != wide:
        raise ValueError(
            f"lse: came {lse.dtype} of shape {_sizes(lse)}; expected {wide} [{B}, {H}, {N}]"
        )
    if bias is not None and (
        bias.ndim != 4
        or any(a not in (1, b) for a, b in zip(bias.shape, (B, H, N, T), strict=True))
    ):
        raise ValueError(
            f"bias: came shape {_sizes(bias)}; expected one that broadcasts to [{B}, {H}, {N}, {T}]"
        )


def _sizes(x: Tensor) -> list[int]:
    return list(x.shape)


@torch.library.custom_op("attention_studio::word_maps", mutates_args=())
def _word_maps(
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
    impl: str,
) -> Tensor:
    found: Tensor = module(__package__, impl).forward(q, k, words, lse, bias, scale)
    return found


@_word_maps.register_fake
def _(
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
    impl: str,
) -> Tensor:
    return words.new_empty(q.shape[0], q.shape[2], words.shape[2])


@torch.library.custom_op("attention_studio::word_maps_backward", mutates_args=())
def _word_maps_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dlse = module(__package__, impl).backward(dout, q, k, words, lse, bias, scale)
    return dq, dk, dlse


@_word_maps_backward.register_fake
def _(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    words: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), lse.new_empty(lse.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    q, k, words, lse, bias, ctx.scale, ctx.impl = inputs
    ctx.save_for_backward(q, k, words, lse, bias)


def _backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
    q, k, words, lse, bias = ctx.saved_tensors
    dq, dk, dlse = _word_maps_backward(dout, q, k, words, lse, bias, ctx.scale, ctx.impl)
    return dq, dk, None, dlse, None, None, None


_word_maps.register_autograd(_backward, setup_context=_keep)
