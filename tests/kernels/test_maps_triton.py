"""Triton's word maps and their backward, interpreted on the CPU, against fp64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.maps import reference, word_maps
from attention_studio.kernels.maps import triton as kernels

CASES = [  # B, H, N, T, D, W
    (1, 1, 1, 1, 8, 1),
    (2, 3, 70, 9, 40, 2),
    (1, 2, 129, 77, 64, 3),
    (1, 1, 70, 17, 72, 2),  # fp32 in pieces of 32 channels, one cut, one empty
    (1, 2, 40, 17, 160, 2),
]
ERRORS = {torch.float32: 2e-6, torch.float16: 2e-6, torch.bfloat16: 2e-6}
GRADIENTS = {torch.float32: 2e-4, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(
    case: tuple[int, ...], dtype: torch.dtype, bias: tuple[int, ...] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, float]:
    """q, k with tokens before heads, words, LSE over more keys than are chosen, bias, scale."""
    B, H, N, T, D, W = case
    q, k, rest = (noise(B, n, H, D, seed=s).transpose(1, 2) for s, n in enumerate((N, T, 5)))
    q, k, rest = (x.to(dtype) for x in (q * 2, k, rest))
    scores = q.double() @ torch.cat([k, rest], 2).double().mT * D**-0.5
    there = None
    if bias is not None:
        there = noise(*bias, seed=3).float()
        there[..., 0] = -torch.inf
        scores[..., :T] += there.double()
    lse = scores.logsumexp(-1).float()
    lse[..., :1] = -torch.inf
    there = None if there is None else there.expand(B, H, N, T)
    return q, k, noise(B, T, W, seed=4).float(), lse, there, D**-0.5


def exact(
    q: Tensor, k: Tensor, words: Tensor, lse: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, list[Tensor]]:
    wide = [x.detach().double().requires_grad_() for x in (q, k, lse)]
    there = None if bias is None else bias.double()
    return reference.word_maps(*wide[:2], words.double(), wide[2], there, scale), wide


@pytest.fixture(autouse=True)
def nothing_is_zero_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """New memory is full of NaN: what a kernel does not write shows."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", list(ERRORS))
@pytest.mark.parametrize("case", CASES)
def test_maps_and_gradients_are_those_of_the_formula(
    case: tuple[int, ...], dtype: torch.dtype
) -> None:
    given = inputs(case, dtype)
    wanted, wide = exact(*given)
    found = kernels.forward(*given)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=ERRORS[dtype], rtol=1e-5)
    dout = noise(*wanted.shape, seed=9)
    grads = kernels.backward(dout.float(), *given)
    for x, a, b in zip(
        (given[0], given[1], given[3]), grads, torch.autograd.grad(wanted, wide, dout), strict=True
    ):
        assert a.dtype == x.dtype
        atol = GRADIENTS[dtype] * max(1.0, float(b.abs().max()))
        torch.testing.assert_close(a.double(), b, atol=atol, rtol=GRADIENTS[dtype])


@pytest.mark.parametrize("bias", [(1, 1, 1, 17), (2, 3, 37, 17), (1, 1, 37, 17)])
def test_a_bias_is_added(bias: tuple[int, ...]) -> None:
    given = inputs((2, 3, 37, 17, 16, 2), torch.float32, bias)
    wanted, wide = exact(*given)
    torch.testing.assert_close(kernels.forward(*given).double(), wanted, atol=2e-6, rtol=1e-5)
    dout = noise(*wanted.shape, seed=9)
    grads = kernels.backward(dout.float(), *given)
    for a, b in zip(grads, torch.autograd.grad(wanted, wide, dout), strict=True):
        torch.testing.assert_close(a.double(), b, atol=2e-4, rtol=2e-4)


def test_groups_and_splits_do_not_change_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs((1, 5, 70, 9, 16, 2), torch.float32)
    dout = noise(1, 70, 2, seed=9).float()
    whole = [kernels.forward(*given), *kernels.backward(dout, *given)]
    monkeypatch.setattr(kernels, "PROGRAMS", 1)
    for a, b in zip([kernels.forward(*given), *kernels.backward(dout, *given)], whole, strict=True):
        torch.testing.assert_close(a, b)


def test_rows_further_apart_than_32_bits_can_count(tmp_path: Path) -> None:
    """As in a fused projection of q, k and v at 8K: 262,144 rows of 9,216 numbers."""
    step = 2**25
    file = torch.from_file(str(tmp_path / "q"), shared=True, size=66 * step, dtype=torch.float16)
    q = file.as_strided((1, 1, 66, 16), (0, 0, step, 1))  # the file is sparse: 66 pages are used
    q.copy_(noise(1, 1, 66, 16, seed=0))
    _, k, words, lse, _, scale = inputs((1, 1, 66, 9, 16, 2), torch.float16)
    given = (q, k, words, lse, None, scale)
    wanted, _ = exact(*given)
    torch.testing.assert_close(kernels.forward(*given).double(), wanted, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("case", [(1, 2, 0, 4, 8, 1), (1, 2, 3, 0, 8, 1), (1, 2, 3, 4, 8, 0)])
def test_nothing_in_gives_nothing_out(case: tuple[int, ...]) -> None:
    given = inputs(case, torch.float32)
    found = kernels.forward(*given)
    assert found.shape == (1, case[2], case[5]) and bool((found == 0).all())
    for x, grad in zip(
        (given[0], given[1], given[3]), kernels.backward(found, *given), strict=True
    ):
        assert grad.shape == x.shape and bool((grad == 0).all())


def test_the_public_function_goes_through_triton_both_ways() -> None:
    q, k, words, lse, _, scale = inputs((1, 2, 33, 9, 16, 2), torch.float32)
    given = [x.detach().requires_grad_() for x in (q, k, lse)]

    def run(impl: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        maps = word_maps(given[0], given[1], words, given[2], scale=scale, impl=impl)
        return maps, torch.autograd.grad(maps.square().sum(), given)

    (found, grads), (wanted, exact_grads) = run("triton"), run("tiled")
    torch.testing.assert_close(found, wanted)
    for a, b in zip(grads, exact_grads, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 1, 2, 8), torch.float64, "q: came float64, expected at most float32"),
        ((1, 1, 2, 136), torch.float32, "with 136 channels, expected at most 128"),
        ((1, 1, 2, 264), torch.float16, "with 264 channels, expected at most 256"),
    ],
)
def test_what_no_kernel_takes_is_refused(
    shape: tuple[int, ...], dtype: torch.dtype, message: str
) -> None:
    x = torch.zeros(shape, dtype=dtype)
    lse = torch.zeros(shape[:-1], dtype=torch.promote_types(dtype, torch.float32))
    with pytest.raises(ValueError, match=message):
        word_maps(x, x, torch.ones(1, 2, 1), lse, impl="triton")
