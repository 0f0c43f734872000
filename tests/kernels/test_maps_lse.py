"""Attention with its log-sum-exp: both against brute force in fp64, and gradients through both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.kernels.maps import attention_lse, fuses_lse, lse, reference

SHAPES = [(1, 1, 1, 1, 8), (2, 3, 41, 9, 16), (1, 8, 341, 77, 40), (3, 2, 7, 130, 5)]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    B, H, N, S, D = shape
    draw = torch.Generator().manual_seed(N)
    q, k, v = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64) for n in (N, S, S))
    return (q * 2).to(dtype), k.to(dtype), v.to(dtype)


def blind_bias(N: int, S: int) -> Tensor:
    """Noise that hides some keys from all and all keys from row 1."""
    bias = torch.randn(1, 1, N, S, generator=torch.Generator().manual_seed(0))
    bias[..., 2] = -torch.inf
    bias[:, :, 1] = -torch.inf
    return bias


def exact(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor) -> tuple[Tensor, Tensor]:
    scores = q.double() @ k.double().mT * scale + bias.double()
    blind = (scores == -torch.inf).all(-1, keepdim=True)
    safe = scores.masked_fill(blind, 0.0)
    out = safe.softmax(-1).masked_fill(blind, 0.0) @ v.double()
    return out, safe.logsumexp(-1).masked_fill(blind[..., 0], -torch.inf)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [attention_lse, reference.attention_lse])
def test_output_and_lse_are_those_of_the_softmax(
    shape: tuple[int, ...], function: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    q, k, v = tensors(shape)
    bias = torch.randn(1, 1, shape[2], shape[3], generator=torch.Generator().manual_seed(0))
    wanted, level = exact(q, k, v, 0.3, bias)
    out, found = function(q, k, v, scale=0.3, bias=bias)
    torch.testing.assert_close(out.double(), wanted, atol=5e-6, rtol=1e-5)
    torch.testing.assert_close(found.double(), level, atol=2e-6, rtol=1e-6)
    assert found.dtype == torch.float32
    torch.testing.assert_close(lse(q, k, scale=0.3, bias=bias), found, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("grad", [False, True])
def test_the_output_has_the_bits_of_torch_s_own_attention(dtype: torch.dtype, grad: bool) -> None:
    q, k, v = (x.requires_grad_(grad) for x in tensors((2, 4, 64, 77, 16), dtype))
    assert fuses_lse(q, k, v)
    assert torch.equal(attention_lse(q, k, v)[0], F.scaled_dot_product_attention(q, k, v))
    bias = blind_bias(64, 77)
    bits = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(dtype))
    assert torch.equal(attention_lse(q, k, v, bias=bias)[0], bits)


@pytest.mark.parametrize("function", [attention_lse, reference.attention_lse])
def test_a_query_that_sees_nothing_gets_zero(
    function: Callable[..., tuple[Tensor, Tensor]],
) -> None:
    q, k, v = (x.requires_grad_() for x in tensors((1, 2, 3, 4, 8)))
    out, found = function(q, k, v, bias=blind_bias(3, 4))
    assert bool((out[:, :, 1] == 0).all()) and bool((found[:, :, 1] == -torch.inf).all())
    assert bool(found[:, :, [0, 2]].isfinite().all())
    grads = torch.autograd.grad([out, found], (q, k, v), [torch.ones_like(out), found.detach() * 0])
    assert bool((grads[0][:, :, 1] == 0).all())
    assert all(bool(grad.isfinite().all()) for grad in grads)


@pytest.mark.parametrize("function", [attention_lse, reference.attention_lse])
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_through_both_are_those_of_finite_differences(
    function: Callable[..., tuple[Tensor, Tensor]], biased: bool
) -> None:
    q, k, v = (x.requires_grad_() for x in tensors((2, 2, 5, 4, 3), torch.float64))
    bias = blind_bias(5, 4).double() if biased else None

    def finite(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        out, found = function(q, k, v, scale=0.7, bias=bias)
        return out, found.masked_fill(found == -torch.inf, 0.0)

    assert torch.autograd.gradcheck(finite, (q, k, v))


@pytest.mark.parametrize("used", ["out", "lse", "both"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 2e-5), (torch.float16, 1e-2), (torch.bfloat16, 6e-2)],
)
def test_gradients_in_every_precision(used: str, dtype: torch.dtype, tolerance: float) -> None:
    q, k, v = (x.requires_grad_() for x in tensors((2, 3, 41, 30, 16), dtype))
    draw = torch.Generator().manual_seed(5)
    parts = {"out": [0], "lse": [1], "both": [0, 1]}[used]
    given = [torch.randn(2, 3, 41, 16, generator=draw), torch.randn(2, 3, 41, generator=draw)]
    outs = attention_lse(q, k, v, scale=0.25)
    found = torch.autograd.grad(
        [outs[i] for i in parts],
        (q, k, v),
        [given[i].to(outs[i].dtype) for i in parts],
        allow_unused=True,
    )
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    sums = exact(*wide, 0.25, torch.zeros(1))
    wanted = torch.autograd.grad(
        [sums[i] for i in parts], wide, [given[i].double() for i in parts], allow_unused=True
    )
    for a, b in zip(found, wanted, strict=True):
        b = torch.zeros_like(a, dtype=torch.float64) if b is None else b
        torch.testing.assert_close(a.double(), b, atol=tolerance, rtol=tolerance)


def test_a_bias_that_learns_takes_the_slow_road() -> None:
    q, k, v = tensors((1, 2, 5, 4, 3))
    bias = torch.zeros(1, 2, 5, 4, requires_grad=True)
    assert not fuses_lse(q, k, v, bias)
    out, found = attention_lse(q, k, v, bias=bias)
    grad = torch.autograd.grad(found.sum() + out.sum() * 0, bias)[0]
    torch.testing.assert_close(grad, (q @ k.mT * 3**-0.5).softmax(-1))


def test_few_heads_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = tensors((2, 5, 41, 9, 16))
    whole = reference.attention_lse(q, k, v)
    monkeypatch.setattr(reference, "_ELEMENTS", 2 * 41 * 9 * 2)
    parts = reference.attention_lse(q, k, v)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("layout", "biased"), [("heads first", True), ("tokens first", False)])
def test_the_operator_is_registered_as_torch_wants_it(layout: str, biased: bool) -> None:
    q, k, v = tensors((2, 3, 11, 9, 16))
    if layout == "tokens first":
        q, k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v))
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    bias = torch.zeros(1, 3, 11, 9) if biased else None
    torch.library.opcheck(torch.ops.attention_studio.attention_lse.default, (q, k, v, bias, 0.3))
