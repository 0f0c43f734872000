"""Joint attention whose image queries see the text and a disc of the image.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112):  an image query at token (y, x) sees all text keys
and the image keys (y', x') with (y − y')² + (x − x')² < radius²; text queries see everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from torch import Tensor

from .. import inputs
from . import masked
from .layout import DiscLayout

__all__ = ["disc_attention"]

Impl = Literal["auto", "reference", "tiled", "triton"]


@overload
def disc_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grids: Sequence[tuple[int, int, int]],
    text: tuple[int, int],
    radius: float,
    scale: float | None = None,
    pooled: tuple[int, int] | None = None,
    key_bias: Tensor | None = None,
    return_lse: Literal[False] = False,
    impl: Impl = "auto",
) -> Tensor: ...


@overload
def disc_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grids: Sequence[tuple[int, int, int]],
    text: tuple[int, int],
    radius: float,
    scale: float | None = None,
    pooled: tuple[int, int] | None = None,
    key_bias: Tensor | None = None,
    return_lse: Literal[True],
    impl: Impl = "auto",
) -> tuple[Tensor, Tensor]: ...


def disc_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    grids: Sequence[tuple[int, int, int]],
    text: tuple[int, int],
    radius: float,
    scale: float | None = None,
    pooled: tuple[int, int] | None = None,
    key_bias: Tensor | None = None,
    return_lse: bool = False,
    impl: Impl = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention at a cost linear in the image: each image token sees the text and a disc around it.

    For text and image tokens in one sequence, as in FLUX and SD3. Tokens stay in raster order, any
    place in the sequence will do, nothing is padded, and no mask is stored but of few tokens on a
    CPU. Where the discs
    cover the whole image, the result is that of `F.scaled_dot_product_attention`.

    A 1024 × 1024 picture in FLUX, 512 text tokens first, then 64 × 64 image tokens:

        out = disc_attention(q, k, v, text=(0, 512), grids=[(512, 64, 64)], radius=8)

    The same in SD3, image first and 333 text tokens after it:

        out = disc_attention(q, k, v, grids=[(0, 64, 64)], text=(4096, 333), radius=16)

    CLEAR's variant for small radii adds keys and values pooled from cells of the image. They are
    appended to k and v; every image query sees all of them, text queries see none:

        k = torch.cat([k, pooled_k], dim=2)     # [B, H, 4608 + 256, D]: cells of 4 × 4
        v = torch.cat([v, pooled_v], dim=2)
        out = disc_attention(q, k, v, text=(0, 512), grids=[(512, 64, 64)], radius=8,
                             pooled=(4608, 256))

    Args:
        q: [B, H, N, D], N query tokens: text and all grids. fp16, bf16 or fp32, fp64 but not with
            triton; D <= 256, with triton 128 in fp32. Any strides with the channels next to each
            other: [B, N, H, D] tensors go in as `.transpose(1, 2)` views.
        k, v: [B, H, S, D], S = N, with pooled keys N + their number.
        grids: (offset, height, width) in tokens of each image grid, stored row by row. ours: with
            several grids (a picture and the one it is made from), a query sees the disc around its
            own coordinates in every grid.
        text: (offset, length) of the text tokens; length 0 = no text.
        radius: of the disc in tokens, above 0: 1 leaves a token only itself, the published weights
            use 8, 16 and 32. At borders the disc is clipped, not moved.
        scale: of q·k, above 0; None = 1/sqrt(D).
        pooled: (offset, length) of pooled keys, which follow all others; None = none.
        key_bias: added to the scores of each key, broadcastable to [B, H, S]; −inf hides a key,
            log(w) makes it count w times. A query that sees nothing gets 0 and an LSE of −inf.
        return_lse: also return the log-sum-exp of the scores, to merge this attention with one over
            other keys (`kernels.merge`).
        impl: "triton" = fused kernels for CUDA; "tiled" = torch, linear in N, the CPU's path;
            "reference" = dense mask, the oracle; "auto" = triton on CUDA (fp64: tiled), else tiled,
            or, for few keys without bias and LSE, torch's fused attention under a mask. A named
            one never falls back to another.

    Returns:
        [B, H, N, D] in q's dtype; with return_lse also the LSE [B, H, N], natural log, in fp32 (for
        fp64 in fp64). Both can be differentiated once, by q, k, v and key_bias.

    Raises:
        ValueError: naming the argument, when shapes, dtypes or devices do not fit, when grids and
            text overlap or leave a token out, when radius or scale is not above 0, or impl cannot
            run here.
    """
    inputs.check(q, k, v)
    layout = DiscLayout.of(grids, text, radius, pooled)
    if (q.shape[2], k.shape[2]) != (layout.queries, layout.keys):
        raise ValueError(
            f"grids, text, pooled: they have {layout.queries} queries and {layout.keys} keys, "
            f"but q came with {q.shape[2]} and k with {k.shape[2]} tokens"
        )
    factor = inputs.scale_of(scale, q)
    if impl == "auto" and key_bias is None and not return_lse and masked.few(q, k, v):
        return masked.attend(q, k, v, layout, factor)
    out, lse = _attention(
        q,
        k,
        v,
        inputs.expanded(key_bias, k),
        *(None, None, *layout.numbers),
        factor,
        inputs.choose(impl, q),
    )
    return (out, lse) if return_lse else out


def _what(
    see: None, own: None, grids: Sequence[int], text: Sequence[int], pooled: Sequence[int],
    radius: float,
) -> tuple[DiscLayout]:  # fmt: skip
    return (DiscLayout.of_numbers(grids, text, pooled, radius),)


_attention = inputs.register("disc_attention", __package__, _what)
