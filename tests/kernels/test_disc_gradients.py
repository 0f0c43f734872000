"""Gradients of disc attention, of output and LSE, against autograd through the dense formula."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from attention_studio.kernels.disc import DiscLayout, disc_attention, reference, tiled

from .brute import LAYOUTS, dense, disc_sees, draw, draw_bias, finite


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """What is left unwritten is seen: torch fills new tensors with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", LAYOUTS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("impl", [reference, tiled], ids=["reference", "tiled"])
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_are_those_of_the_formula(impl: ModuleType, name: str, biased: bool) -> None:
    layout = LAYOUTS[name]
    leaves = [x.requires_grad_() for x in draw(layout.queries, layout.keys)]
    bias = draw_bias(2, 3, layout.keys).requires_grad_() if biased else None
    wanted, wanted_lse = dense(*leaves, disc_sees(layout), 0.3, bias)
    dout, dlse = torch.randn_like(wanted), torch.randn_like(wanted_lse)
    loss = (wanted * dout).sum() + (finite(wanted_lse) * dlse).sum()
    grads = torch.autograd.grad(loss, [*leaves, bias] if bias is not None else leaves)
    with torch.no_grad():
        out, lse = impl.forward(*leaves, layout, 0.3, bias)
        found = impl.backward(dout, dlse, *leaves, out, lse, layout, 0.3, bias)
    for a, b in zip(found, grads, strict=False):
        torch.testing.assert_close(a, b, atol=1e-13, rtol=1e-11)
    assert (found[3] is None) == (bias is None)


@pytest.mark.parametrize("shape", [(), (84,), (3, 1), (2, 1, 84)])
def test_a_broadcast_bias_gets_the_sum(shape: tuple[int, ...]) -> None:
    q, k, v = draw(84, 84)
    bias = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    out = disc_attention(q, k, v, grids=[(4, 8, 10)], text=(0, 4), radius=3, key_bias=bias)
    found = torch.autograd.grad(out.square().sum(), bias)[0]
    sees = disc_sees(DiscLayout.of([(4, 8, 10)], (0, 4), 3))
    wanted = dense(q, k, v, sees, 8**-0.5, bias.expand(2, 3, 84))[0].square().sum()
    torch.testing.assert_close(found, torch.autograd.grad(wanted, bias)[0])


@pytest.mark.parametrize("name", ["reference", "tiled"])
@pytest.mark.parametrize("part", ["out", "lse"])
def test_one_of_the_two_is_enough(name: str, part: str) -> None:
    leaves = [x.requires_grad_() for x in draw(84, 84)]
    found = disc_attention(
        *leaves, grids=[(4, 8, 10)], text=(0, 4), radius=3, return_lse=True, impl=name
    )
    wanted = dense(*leaves, disc_sees(DiscLayout.of([(4, 8, 10)], (0, 4), 3)), 8**-0.5)
    at = ("out", "lse").index(part)
    grads = torch.autograd.grad(found[at].sum(), leaves, allow_unused=True)
    exact = torch.autograd.grad(wanted[at].sum(), leaves, allow_unused=True)
    for a, b in zip(grads, exact, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


@pytest.mark.parametrize("name", ["reference", "tiled"])
def test_a_query_that_sees_nothing_passes_nothing_back(name: str) -> None:
    leaves = [x.float().requires_grad_() for x in draw(84, 84)]
    bias = torch.full((84,), -torch.inf, requires_grad=True)
    out, lse = disc_attention(
        *leaves,
        grids=[(4, 8, 10)],
        text=(0, 4),
        radius=3,
        key_bias=bias,
        return_lse=True,
        impl=name,
    )
    grads = torch.autograd.grad(out.sum() + finite(lse).sum(), [*leaves, bias])
    assert all(bool((grad == 0).all()) for grad in grads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_fp32(dtype: torch.dtype) -> None:
    layout = LAYOUTS["wide disc"]
    leaves = [x.requires_grad_() for x in draw(layout.queries, layout.keys, 16, dtype)]
    where = {"grids": layout.grids, "text": layout.text, "radius": layout.radius}
    wide = [x.detach().double().requires_grad_() for x in leaves]
    exact = torch.autograd.grad(dense(*wide, disc_sees(layout), 0.25)[0].square().sum(), wide)
    found = torch.autograd.grad(disc_attention(*leaves, **where).square().sum(), leaves)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == dtype
        # out is rounded, then twice it as its gradient, then the result
        budget = 4 * torch.finfo(dtype).eps * b.abs().max()
        assert (a.double() - b).abs().max() <= budget
