"""torch's own fused attention, but with its log-sum-exp, and gradients through both.

With P = exp(q·kᵀ·scale + bias − lse), dP = dout·vᵀ and δ = rowsum(dout ⊙ out)

    dv = Pᵀ dout   dS = P ⊙ (dP − (δ − dlse))   dq = scale · dS k   dk = scale · dSᵀ q

ours: torch's backward kernels know no dlse, but they compute δ from the `out` they are given. Two
more channels carry it there: q, k, v get zeros, dout ones and out −dlse (in two parts, the second
what the first lost by rounding), so that the kernel's own δ is δ − dlse and nothing else changes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.attention import SDPBackend

from . import reference

__all__ = ["attention_lse", "fuses_lse", "lse"]


def fuses_lse(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> bool:
    """Whether what `F.scaled_dot_product_attention` runs here hands out its LSE too."""
    if not _fusible(q, v, bias):
        return False
    if q.device.type == "cpu":
        return True
    mask = None if bias is None else bias.to(q.dtype)
    return torch._fused_sdp_choice(q, k, v, mask, 0.0, False) == _cuda_backend(q, bias).value


def attention_lse(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q·kᵀ·scale + bias) v and its LSE: [B, H, N, D] and [B, H, N], natural log.

    The LSE is fp32, for fp64 fp64; a query that sees nothing gets zero and −inf. Where `fuses_lse`,
    the output has the bits of `F.scaled_dot_product_attention`. Both can be differentiated by
    q, k and v, once; by bias too, but then the slow road of `reference` is taken, as it is when
    v is of another width than q.

    q [B, H, N, D]; k, v [B, H, S, D]; bias broadcastable to [B, H, N, S]; scale None = 1/sqrt(D).
    """
    if not _fusible(q, v, bias):
        return reference.attention_lse(q, k, v, scale=scale, bias=bias)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    out, found = _attention_lse(q, k, v, bias, factor)
    return out, found


def lse(q: Tensor, k: Tensor, *, scale: float | None = None, bias: Tensor | None = None) -> Tensor:
    """The log-sum-exp alone, [B, H, N], differentiable like that of `attention_lse`."""
    return attention_lse(q, k, k, scale=scale, bias=bias)[1]


def _fusible(q: Tensor, v: Tensor, bias: Tensor | None) -> bool:
    learns_bias = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    wide_on_gpu = q.is_cuda and q.dtype == torch.float64
    known = q.device.type in ("cpu", "cuda") and not wide_on_gpu
    return known and v.shape[-1] == q.shape[-1] and not learns_bias


def _forward(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    mask = _mask(q, k, bias)
    if q.device.type == "cpu":
        out, found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=mask, scale=scale
        )
    else:
        out, found = _cuda_forward(q, k, v, mask, scale)
    if bias is not None:  # kernels disagree about the LSE of a row without keys: 0, +inf or −inf
        blind = (bias == -torch.inf).all(-1).expand_as(found)
        found = found.masked_fill(blind, -torch.inf)
        out = out.masked_fill(blind[..., None], 0.0)
    return out, found.contiguous()


_attention_lse = torch.library.custom_op(
    "attention_studio::attention_lse", _forward, mutates_args=()
)
_attention_lse.register_fake(_forward)  # every kernel it calls knows its own shapes and strides


@torch.library.custom_op("attention_studio::attention_lse_backward", mutates_args=())
def _attention_lse_backward(
    dout: Tensor | None,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    D = q.shape[-1]
    dout = torch.zeros_like(out) if dout is None else dout
    blind = lse == -torch.inf
    lse = lse.masked_fill(blind, 0.0)  # scores there are −inf: P = exp(−inf − 0) = 0
    mask = _mask(q, k, bias)
    if dlse is not None:
        dlse = dlse.masked_fill(blind, 0.0)
        extra = 2 + -(D + 2) % 8  # kernels on GPUs want a multiple of eight
        q, k, v, dout, out = (F.pad(x, (0, extra)) for x in (q, k, v, dout, out))
        dout[..., D : D + 2] = 1.0
        out[..., D] = -dlse
        out[..., D + 1] = -dlse - out[..., D]
    if q.device.type == "cpu":
        grads = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            dout, q, k, v, out, lse, 0.0, False, attn_mask=mask, scale=scale
        )
    else:
        grads = _cuda_backward(dout, q, k, v, out, lse, mask, scale)
    dq, dk, dv = (grad[..., :D].contiguous() for grad in grads)
    return dq, dk, dv


@_attention_lse_backward.register_fake
def _(
    dout: Tensor | None,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = (x.new_empty(x.shape) for x in (q, k, v))
    return dq, dk, dv


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, bias, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, *output, bias)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    if dout is None and dlse is None:
        return None, None, None, None, None
    grads = _attention_lse_backward(dout, dlse, *ctx.saved_tensors, ctx.scale)
    return *grads, None, None


_attention_lse.register_autograd(_backward, setup_context=_keep)


def _mask(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor | None:
    """The bias in q's dtype over [B, H, N, S], a view; its rows start at multiples of 16 bytes."""
    if bias is None:
        return None
    keys = k.shape[2]
    bias = bias.to(q.dtype).expand(*bias.shape[:-1], keys)
    if q.is_cuda:
        bias = F.pad(bias, (0, -keys % 16))[..., :keys]
    return bias.expand(*q.shape[:-1], keys)


def _cuda_backend(q: Tensor, bias: Tensor | None) -> SDPBackend:
    half = q.dtype in (torch.float16, torch.bfloat16)
    if half and bias is None and q.shape[-1] <= 256:
        return SDPBackend.FLASH_ATTENTION
    return SDPBackend.EFFICIENT_ATTENTION


def _cuda_forward(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    D = q.shape[-1]
    if D % 8:
        q, k, v = (F.pad(x, (0, -D % 8)) for x in (q, k, v))
    if _cuda_backend(q, mask) is SDPBackend.FLASH_ATTENTION:
        out, found = torch.ops.aten._scaled_dot_product_flash_attention(
            q, k, v, 0.0, False, scale=scale
        )[:2]
    else:
        out, found = torch.ops.aten._scaled_dot_product_efficient_attention(
            q, k, v, mask, True, 0.0, False, scale=scale
        )[:2]
    return out[..., :D].contiguous(), found[..., : q.shape[2]]


def _cuda_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    mask: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    D = q.shape[-1]
    if D % 8:
        dout, q, k, v, out = (F.pad(x, (0, -D % 8)) for x in (dout, q, k, v, out))
    seed = torch.empty((), dtype=torch.int64, device=q.device)  # nothing is dropped, none is read
    if _cuda_backend(q, mask) is SDPBackend.FLASH_ATTENTION:
        dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            dout, q, k, v, out, lse, None, None, q.shape[2], k.shape[2], 0.0, False, seed, seed,
            scale=scale,
        )  # fmt: skip
    else:
        lse = F.pad(lse, (0, -lse.shape[-1] % 32), value=torch.inf)  # as its forward hands it out
        dq, dk, dv, _ = torch.ops.aten._scaled_dot_product_efficient_attention_backward(
            dout, q, k, v, mask, out, lse, seed, seed, 0.0, [True, True, True, False], False,
            scale=scale,
        )  # fmt: skip
    return dq, dk, dv
