"""Columns and log-sum-exp against brute force in fp64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.kernels.maps import attention_lse, columns, lse, reference

SHAPES = [(1, 1, 1, 1, 8), (2, 3, 41, 9, 16), (1, 8, 341, 77, 40), (3, 2, 7, 130, 5)]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    B, H, N, S, D = shape
    draw = torch.Generator().manual_seed(N)
    q, k, v = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64) for n in (N, S, S))
    return (q * 2).to(dtype), k.to(dtype), v.to(dtype)


def brute(q: Tensor, k: Tensor, scale: float, bias: Tensor | float = 0.0) -> Tensor:
    return q.double() @ k.double().mT * scale + bias


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [attention_lse, reference.attention_lse])
def test_output_and_lse_are_those_of_the_softmax(
    shape: tuple[int, ...], function: Callable[..., tuple[Tensor, Tensor]]
) -> None:
    q, k, v = tensors(shape)
    bias = torch.randn(1, 1, shape[2], shape[3], generator=torch.Generator().manual_seed(0))
    scores = brute(q, k, 0.3, bias.double())
    out, found = function(q, k, v, scale=0.3, bias=bias)
    torch.testing.assert_close(out.double(), scores.softmax(-1) @ v.double(), atol=5e-6, rtol=1e-5)
    torch.testing.assert_close(found.double(), scores.logsumexp(-1), atol=2e-6, rtol=1e-6)
    assert found.dtype == torch.float32
    torch.testing.assert_close(lse(q, k, scale=0.3, bias=bias), found, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_output_has_the_bits_of_torch_s_own_attention(dtype: torch.dtype) -> None:
    q, k, v = tensors((2, 4, 64, 77, 16), dtype)
    assert torch.equal(attention_lse(q, k, v)[0], F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_head_means_of_probabilities(shape: tuple[int, ...]) -> None:
    B, _, N, S, D = shape
    q, k, _ = tensors(shape)
    chosen = torch.arange(S)[:: max(1, S // 3)]
    weights = torch.randn(B, len(chosen), 2, generator=torch.Generator().manual_seed(1))
    scores = brute(q, k, D**-0.5)
    wanted = scores.softmax(-1).mean(1)[:, :, chosen] @ weights.double()
    found = columns(q, k[:, :, chosen], weights, scores.logsumexp(-1).float())
    assert found.shape == (B, N, 2)
    torch.testing.assert_close(found.double(), wanted, atol=5e-6, rtol=1e-5)


def test_few_heads_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = tensors((2, 5, 41, 9, 16))
    whole = reference.attention_lse(q, k, v)
    monkeypatch.setattr(reference, "_ELEMENTS", 2 * 41 * 9 * 2)
    parts = reference.attention_lse(q, k, v)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)


def test_a_query_that_sees_nothing_gets_zero() -> None:
    q, k, v = tensors((1, 2, 3, 4, 8))
    bias = torch.zeros(1, 1, 3, 4)
    bias[:, :, 1] = -torch.inf
    out, found = reference.attention_lse(q, k, v, bias=bias)
    assert bool((out[:, :, 1] == 0).all()) and bool((found[:, :, 1] == -torch.inf).all())
    assert bool((columns(q, k, torch.ones(1, 4, 1), found, bias=bias)[:, 1] == 0).all())


def test_gradients_flow_through_the_columns() -> None:
    q, k, _ = (x.double().requires_grad_() for x in tensors((1, 2, 5, 4, 8)))
    weights = torch.ones(1, 2, 1, dtype=torch.float64)

    def loss(q: Tensor, k: Tensor) -> Tensor:
        level = torch.cat([(q @ k.mT * 0.5).logsumexp(-1)])
        return columns(q, k[:, :, :2], weights, level, scale=0.5).square().sum()

    loss(q, k).backward()
    probs = (q @ k.mT * 0.5).softmax(-1).mean(1)[:, :, :2].sum(-1)
    wanted = torch.autograd.grad(probs.square().sum(), q)[0]
    torch.testing.assert_close(q.grad, wanted, atol=1e-6, rtol=1e-5)
