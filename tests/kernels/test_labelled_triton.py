"""Labelled attention in Triton's interpreter, forward and backward, against the reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.blocks.settings import setting
from attention_studio.kernels.disc import DiscLayout
from attention_studio.kernels.labelled import labelled_attention, reference, triton

from .brute import finite


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """What a kernel leaves unwritten is seen: torch fills new tensors with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def tiles_of_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """fp32 in the tiles of fp16, so that what ships is held against exact numbers."""
    monkeypatch.setattr(
        triton, "setting", lambda kind, D, _, near, arch: setting(kind, D, 2, near, arch)
    )


def draw(
    N: int, S: int, *, B: int = 1, H: int = 1, D: int = 64, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """q, k, v, dout with tokens before heads, and dlse."""
    source = torch.Generator().manual_seed(N + S)
    found = [torch.randn(B, n, H, D, generator=source).to(dtype) for n in (N, S, S, N)]
    return [*(x.transpose(1, 2) for x in found), torch.randn(B, H, N, generator=source)]


def draw_bits(batch: int, tokens: int, run: int) -> Tensor:
    """Groups in runs of tokens, some tokens in two groups, some in none. int32."""
    source = torch.Generator().manual_seed(tokens)
    bits = torch.tensor([0, 1, 2, 4, 5])[
        torch.randint(5, (batch, -(-tokens // run)), generator=source)
    ]
    return bits.repeat_interleave(run, 1)[:, :tokens].int().contiguous()


def compare(
    given: list[Tensor],
    see: Tensor,
    own: Tensor,
    bias: Tensor | None = None,
    disc: DiscLayout | None = None,
    tolerance: float = 2e-5,
) -> tuple[Tensor, ...]:
    """Runs both passes; returns what Triton gave."""
    q, k, v, up, dlse = given
    rest = (see, own, disc, q.shape[3] ** -0.5, bias)
    out, lse = triton.forward(q, k, v, *rest)
    found = (out, lse, *triton.backward(up, dlse, q, k, v, out, lse, *rest))
    wide = [x.double() for x in given]
    exact = reference.forward(*wide[:3], *rest)
    wanted = (*exact, *reference.backward(wide[3], wide[4], *wide[:3], *exact, *rest))
    for name, a, b in zip(("out", "lse", "dq", "dk", "dv", "dbias"), found, wanted, strict=True):
        if b is not None:
            size = max(1.0, float(finite(b).abs().max()))
            torch.testing.assert_close(
                a.double(), b, atol=tolerance * size, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
            )
    return found


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_reference_keys_and_rows_that_see_nothing() -> None:
    see, own = draw_bits(1, 200, 50), draw_bits(1, 270, 30)
    see[:, :5] = 0
    out, lse, dq, *_ = compare(draw(200, 270), see, own)
    assert bool((lse[..., :5] == -torch.inf).all())
    assert not out[..., :5, :].any() and not dq[..., :5, :].any()


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_bits_of_their_own_for_each_row_of_a_batch() -> None:
    see, own = draw_bits(2, 70, 20), draw_bits(1, 90, 9)
    bias = torch.randn(2, 1, 90, generator=torch.Generator().manual_seed(0))
    bias[..., ::7] = -torch.inf
    compare(draw(70, 90, B=2, H=2, D=40), see, own, bias.expand(2, 2, 90))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 4e-2)])
def test_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    see, own = draw_bits(1, 140, 70), draw_bits(1, 150, 40)
    out, *_ = compare(draw(140, 150, dtype=dtype), see, own, tolerance=tolerance)
    assert out.dtype == dtype


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_discs_and_labels_together() -> None:
    layout = DiscLayout.of([(7, 9, 13), (124, 3, 6)], (0, 7), 4, (142, 8))
    see, own = draw_bits(1, 142, 25), draw_bits(1, 150, 30)
    compare(draw(142, 150), see, own, disc=layout)


def test_autograd() -> None:
    q, k, v, *_ = draw(40, 50, H=2)
    see, own = draw_bits(1, 40, 10), draw_bits(1, 50, 10)
    found = []
    for impl in ("triton", "reference"):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out, lse = labelled_attention(*leaves, see=see, own=own, return_lse=True, impl=impl)
        (out.square().sum() + finite(lse).sum()).backward()
        found.append([out, lse, *(x.grad for x in leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-5)
