"""Partial attentions merged by their log-sum-exp against attention over all keys."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.maps import attention_lse
from attention_studio.kernels.merge import merge

Parts = list[tuple[Tensor, Tensor]]


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def parts_of(cuts: tuple[int, ...]) -> tuple[Parts, Tensor, Tensor]:
    """Partial attentions over 9 keys in fp64, output and LSE of the whole."""
    q, k, v = (noise(2, 3, n, 8, seed=n + i) for i, n in enumerate((41, 9, 9)))
    parts = []
    for keys, values in zip(k.split(cuts, 2), v.split(cuts, 2), strict=True):
        scores = q @ keys.mT * 8**-0.5
        parts.append((scores.softmax(-1) @ values, scores.logsumexp(-1)))
    scores = q @ k.mT * 8**-0.5
    return parts, scores.softmax(-1) @ v, scores.logsumexp(-1)


@pytest.mark.parametrize("cuts", [(9,), (1, 8), (3, 3, 3), (4, 0, 5), (1,) * 9])
@pytest.mark.parametrize("stacked", [False, True])
def test_parts_make_the_whole(cuts: tuple[int, ...], stacked: bool) -> None:
    parts, whole, level = parts_of(cuts)
    outs, lses = zip(*parts, strict=True)
    given = (torch.stack(outs), torch.stack(lses)) if stacked else (outs, lses)
    out, lse = merge(*given)
    torch.testing.assert_close(out, whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(lse, level)


def test_a_row_without_keys_is_zero_and_half_precision_stays() -> None:
    out = torch.ones(1, 1, 2, 4, dtype=torch.bfloat16)
    lse = torch.tensor([[[0.0, -torch.inf]]])
    merged, total = merge([out, out], [lse, lse])
    assert merged.dtype == torch.bfloat16 and total.dtype == torch.float32
    assert merged[0, 0, 0].tolist() == [1.0] * 4 and merged[0, 0, 1].tolist() == [0.0] * 4
    assert total[0, 0, 1] == -torch.inf


def test_parts_with_half_precision_are_summed_in_fp32() -> None:
    q, k, v = (noise(1, 2, n, 8, seed=n).bfloat16() for n in (5, 6, 6))
    parts = [attention_lse(q, k[:, :, s], v[:, :, s]) for s in (slice(3), slice(3, 6))]
    out, _ = merge(*zip(*parts, strict=True))
    whole, _ = attention_lse(q, k, v)
    torch.testing.assert_close(out.float(), whole.float(), atol=2e-2, rtol=2e-2)


def test_lses_far_apart_neither_overflow_nor_vanish() -> None:
    outs = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1, 1).repeat(1, 1, 1, 3, 4)
    lses = torch.tensor([[1000.0, -1000.0, 88.0], [0.0, -1000.0, 88.0]]).view(2, 1, 1, 3)
    for impl in ("reference", "triton"):
        out, lse = merge(outs, lses, impl=impl)
        assert out[0, 0, :, 0].tolist() == [1.0, 1.5, 1.5]
        wanted = torch.tensor([1000.0, -1000.0 + math.log(2), 88.0 + math.log(2)])
        torch.testing.assert_close(lse[0, 0], wanted)


def case(dtype: torch.dtype = torch.float64, D: int = 5) -> tuple[Tensor, Tensor]:
    """Four parts; row 1 sees nothing, row 2 nothing in parts 0 and 3, whose outputs are NaN."""
    wide = torch.promote_types(dtype, torch.float32)
    outs, lses = noise(4, 2, 3, 19, D, seed=1).to(dtype), noise(4, 2, 3, 19, seed=2).to(wide) * 3
    for p, row in ((0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (3, 2)):
        lses[p, :, :, row] = -torch.inf
        outs[p, :, :, row] = torch.nan
    return outs, lses


def test_gradients_are_those_of_finite_differences() -> None:
    outs, lses = case()
    see = lses > -torch.inf
    free = (torch.where(see[..., None], outs, 0.0), torch.where(see, lses, 0.0))

    def finite(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
        outs = torch.where(see[..., None], outs, torch.nan)
        out, lse = merge(outs, lses.masked_fill(~see, -torch.inf))
        return out, lse.masked_fill(lse == -torch.inf, 0.0)

    few = [x[:, :1, :1, :4].clone().requires_grad_() for x in free]
    see = see[:, :1, :1, :4]
    assert torch.autograd.gradcheck(finite, few)


@pytest.mark.parametrize("used", ["out", "lse", "both"])
def test_rows_without_keys_get_zero_gradients(used: str) -> None:
    outs, lses = (x.requires_grad_() for x in case())
    out, lse = merge(outs, lses)
    sums = {"out": out.sum(), "lse": lse[:, :, 3:].sum(), "both": out.sum() + lse[:, :, 3:].sum()}
    douts, dlses = torch.autograd.grad(sums[used], (outs, lses))
    assert bool(douts.isfinite().all()) and bool(dlses.isfinite().all())
    assert bool((douts[:, :, :, 1] == 0).all()) and bool((dlses[:, :, :, 1] == 0).all())
    assert bool((dlses[:, :, :, 3:] != 0).all())


TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("D", [5, 64])
def test_triton_gives_the_same_both_ways(dtype: torch.dtype, D: int) -> None:
    from attention_studio.kernels.merge import triton as kernels

    outs, lses = case(dtype, D)
    outs = outs.transpose(2, 3).contiguous().transpose(2, 3)  # tokens before heads
    wide = outs.double(), lses.double()
    wanted = merge(*wide, impl="reference")
    found = kernels.forward(outs, lses)
    assert found[0].dtype == dtype and found[1].dtype == torch.float32
    limit = {"atol": TOLERANCE[dtype] * 4, "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(found[0].double(), wanted[0], **limit)
    torch.testing.assert_close(found[1].double(), wanted[1], atol=2e-6, rtol=1e-6)

    dout, dlse = noise(*found[0].shape, seed=5), noise(*found[1].shape, seed=6)
    inputs = [x.requires_grad_() for x in wide]
    grads = torch.autograd.grad(merge(*inputs), inputs, [dout, dlse])
    made = kernels.backward(dout.to(dtype), dlse.float(), outs, lses, *found)
    for a, b in zip(made, grads, strict=True):
        scale = max(1.0, float(b.abs().max()))
        torch.testing.assert_close(
            a.double(), b, atol=TOLERANCE[dtype] * 8 * scale, rtol=TOLERANCE[dtype]
        )


def test_the_public_function_goes_through_triton() -> None:
    inputs = [x.requires_grad_() for x in case(torch.float32)]

    def run(impl: Any) -> tuple[Tensor, ...]:
        out, lse = merge(*inputs, impl=impl)
        return out, lse, *torch.autograd.grad(out.sum() + lse[:, :, 3:].sum(), inputs)

    for a, b in zip(run("triton"), run("reference"), strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=2e-6)


def test_what_does_not_fit_is_refused() -> None:
    out, lse = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1)
    with pytest.raises(ValueError, match="outs, lses: came 1 and 0"):
        merge([out], [])
    with pytest.raises(ValueError, match="outs, lses: came 0 and 0"):
        merge([], [])
    with pytest.raises(ValueError, match=r"lses: came torch.float64 of shape \[1, 1, 1, 1\]"):
        merge([out], [lse.double()])
    with pytest.raises(ValueError, match=r"lses: came torch.float32 of shape \[1, 1, 1, 2\]"):
        merge([out], [lse.expand(1, 1, 2)])
    with pytest.raises(ValueError, match=r"outs: came .* shape \[1, 1, 2, 1\] .* beside .* alike"):
        merge([out, out.expand(1, 1, 2, 1)], [lse, lse])
    with pytest.raises(ValueError, match="lses: came on meta; expected cpu as outs"):
        merge([out], [lse.to("meta")])
    with pytest.raises(ValueError, match="impl: came 'tiled'"):
        merge([out], [lse], impl="tiled")
    with pytest.raises(ValueError, match=r"outs: came torch\.float64; impl 'triton' takes"):
        merge([out.double()], [lse.double()], impl="triton")


def test_the_operator_is_registered_and_compiles() -> None:
    outs, lses = (
        x.requires_grad_() for x in (noise(2, 1, 2, 3, 4, seed=1), noise(2, 1, 2, 3, seed=2))
    )
    torch.library.opcheck(torch.ops.attention_studio.merge.default, (outs, lses, "reference"))

    def loss(outs: Tensor, lses: Tensor) -> Tensor:
        out, lse = merge(list(outs), list(lses))
        return out.square().sum() + lse.sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(loss(outs, lses), (outs, lses))
    for a, b in zip(torch.autograd.grad(compiled(outs, lses), (outs, lses)), wanted, strict=True):
        torch.testing.assert_close(a, b)
