"""Attention among groups of tokens: subjects that do not see each other, shared reference keys.

Each query carries bits, `see`, the groups it looks at, and each key bits, `own`, those it belongs
to:  query i sees key j when see_i & own_j ≠ 0.  Isolation and sharing of subjects as in ConsiStory
(Tewel et al. 2024, arXiv:2402.03286) and its kind are choices of bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import torch
from torch import Tensor

from .. import inputs
from ..disc.layout import DiscLayout

__all__ = ["labelled_attention"]

Impl = Literal["auto", "reference", "tiled", "triton"]


@overload
def labelled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    see: Tensor,
    own: Tensor,
    key_bias: Tensor | None = None,
    scale: float | None = None,
    disc: DiscLayout | None = None,
    return_lse: Literal[False] = False,
    impl: Impl = "auto",
) -> Tensor: ...


@overload
def labelled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    see: Tensor,
    own: Tensor,
    key_bias: Tensor | None = None,
    scale: float | None = None,
    disc: DiscLayout | None = None,
    return_lse: Literal[True],
    impl: Impl = "auto",
) -> tuple[Tensor, Tensor]: ...


def labelled_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    see: Tensor,
    own: Tensor,
    key_bias: Tensor | None = None,
    scale: float | None = None,
    disc: DiscLayout | None = None,
    return_lse: bool = False,
    impl: Impl = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention where a query sees the keys that share a group with it, at the cost of those pairs.

    Two subjects that see the text and themselves; bit 0 is the text, seen by all and seeing all:

        own = torch.tensor([[1] * 77 + [2] * 2048 + [4] * 2048], dtype=torch.int32)
        see = torch.tensor([[7] * 77 + [3] * 2048 + [5] * 2048], dtype=torch.int32)
        out = labelled_attention(q, k, v, see=see, own=own)

    Keys of a reference picture need no queries: append them to k and v (S > N), give them a bit of
    their own in `own`, and set that bit in `see` where they shall be seen.

    Args:
        q: [B, H, N, D]; k, v: [B, H, S, D]; fp16, bf16 or fp32, fp64 but not with triton; D <= 256,
            with triton 128 in fp32. Any strides with the channels next to each other.
        see: [B or 1, N] int32, what each query looks at, a bit a group.
        own: [B or 1, S] int32, what each key belongs to; several bits for overlaps, 0 = hidden.
        key_bias: added to the scores of each key, broadcastable to [B, H, S]; −inf hides a key,
            log(w) makes it count w times.
        scale: of q·k, above 0; None = 1/sqrt(D).
        disc: also limit image queries to discs, with N, S tokens as `DiscLayout.of` describes them;
            a pair must pass both tests.
        return_lse: also return the log-sum-exp of the scores.
        impl: "triton" = fused kernels for CUDA; "tiled" = torch, by rows with equal bits, the CPU's
            path; "reference" = dense mask, the oracle; "auto" = triton on CUDA (fp64: tiled), else
            tiled. A named one never falls back to another.

    Returns:
        [B, H, N, D] in q's dtype; with return_lse also the LSE [B, H, N], natural log, in fp32 (for
        fp64 in fp64). A query that sees nothing gets 0 and −inf. Both can be differentiated once,
        by q, k, v and key_bias.

    Raises:
        ValueError: naming the argument, when shapes, dtypes or devices do not fit, when scale is
            not above 0, or impl cannot run here.
    """
    inputs.check(q, k, v)
    for name, bits, count in (("see", see, q.shape[2]), ("own", own, k.shape[2])):
        if bits.dtype != torch.int32 or bits.device != q.device:
            raise ValueError(
                f"{name}: came {bits.dtype} on {bits.device}, expected int32 on {q.device} as q"
            )
        if bits.ndim != 2 or bits.shape[0] not in (1, q.shape[0]) or bits.shape[1] != count:
            raise ValueError(
                f"{name}: came shape {list(bits.shape)}, expected [{q.shape[0]} or 1, {count}]"
            )
    if disc is not None and (q.shape[2], k.shape[2]) != (disc.queries, disc.keys):
        raise ValueError(
            f"disc: it has {disc.queries} queries and {disc.keys} keys, "
            f"but q came with {q.shape[2]} and k with {k.shape[2]} tokens"
        )
    out, lse = _attention(
        q,
        k,
        v,
        inputs.expanded(key_bias, k),
        see,
        own,
        *(disc.numbers if disc is not None else ([], [], [], 0.0)),
        inputs.scale_of(scale, q),
        inputs.choose(impl, q),
    )
    return (out, lse) if return_lse else out


def _what(
    see: Tensor, own: Tensor, grids: Sequence[int], text: Sequence[int], pooled: Sequence[int],
    radius: float,
) -> tuple[Tensor, Tensor, DiscLayout | None]:  # fmt: skip
    return see, own, DiscLayout.of_numbers(grids, text, pooled, radius) if grids else None


_attention = inputs.register("labelled_attention", __package__, _what)
