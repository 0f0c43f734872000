"""An attention as torch operators: forward and backward, their shapes, autograd between them.

`torch.compile` and checkpointing then see one node each way. Operators take tensors and numbers, so
the layout of discs goes in as `DiscLayout.numbers`, empty where there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .grads import empty_gradients, empty_outputs, incoming
from .implementation import module

__all__ = ["register"]


def register(
    name: str, package: str, what: Callable[..., tuple[Any, ...]]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The operator `attention_studio::name`; its work is done by the modules of a package.

    what(see, own, grids, text, pooled, radius): their arguments that say who sees whom, as in
        forward(q, k, v, *what, scale, key_bias) -> out, lse
        backward(dout, dlse, q, k, v, out, lse, *what, scale, key_bias) -> dq, dk, dv, dbias
    with dbias [B, H, S], or None without key_bias.
    """

    @torch.library.custom_op(f"attention_studio::{name}", mutates_args=())
    def attend(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        key_bias: Tensor | None,
        see: Tensor | None,
        own: Tensor | None,
        grids: Sequence[int],
        text: Sequence[int],
        pooled: Sequence[int],
        radius: float,
        scale: float,
        impl: str,
    ) -> tuple[Tensor, Tensor]:
        rest = *what(see, own, grids, text, pooled, radius), scale, key_bias
        out, lse = module(package, impl).forward(q, k, v, *rest)
        return out, lse

    @torch.library.custom_op(f"attention_studio::{name}_backward", mutates_args=())
    def attend_backward(
        dout: Tensor | None,
        dlse: Tensor | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        key_bias: Tensor | None,
        see: Tensor | None,
        own: Tensor | None,
        out: Tensor,
        lse: Tensor,
        grids: Sequence[int],
        text: Sequence[int],
        pooled: Sequence[int],
        radius: float,
        scale: float,
        impl: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rest = *what(see, own, grids, text, pooled, radius), scale, key_bias
        dq, dk, dv, dbias = module(package, impl).backward(
            incoming(dout, out), dlse, q, k, v, out, lse, *rest
        )
        return dq, dk, dv, lse.new_empty(0) if dbias is None else dbias

    @attend.register_fake
    def _(q: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        return empty_outputs(q)

    @attend_backward.register_fake
    def _(
        dout: Tensor | None,
        dlse: Tensor | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        key_bias: Tensor | None,
        see: Tensor | None,
        own: Tensor | None,
        out: Tensor,
        lse: Tensor,
        *_: object,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return empty_gradients(q, k, v, key_bias, lse)

    def keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[:6], *output)
        ctx.numbers = inputs[6:]
        ctx.set_materialize_grads(False)

    def backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
        if dout is None and dlse is None:
            return (None,) * 12
        dq, dk, dv, dbias = attend_backward(dout, dlse, *ctx.saved_tensors, *ctx.numbers)
        return dq, dk, dv, dbias if ctx.needs_input_grad[3] else None, *(None,) * 8

    attend.register_autograd(backward, setup_context=keep)
    return attend
