"""Disc attention in Triton's interpreter, forward and backward, against the reference in fp64."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.kernels.blocks import plan
from attention_studio.kernels.blocks.settings import setting
from attention_studio.kernels.disc import DiscLayout, disc_attention, reference, triton
from attention_studio.kernels.merge import merge

from .brute import finite

CASES = {  # layout, B, H, D, with bias
    "text first, odd grid": (DiscLayout.of([(77, 9, 13)], (0, 77), 5.5), 1, 1, 64, False),
    "text last, hidden keys": (DiscLayout.of([(0, 17, 21)], (357, 5), 2), 1, 1, 64, True),
    "two grids, text between, pooled": (
        DiscLayout.of([(0, 9, 13), (122, 5, 4)], (117, 5), 3, (142, 9)), 2, 2, 64, True,
    ),
    "no text, itself only": (DiscLayout.of([(0, 9, 13)], (0, 0), 1), 1, 1, 64, False),
    "no text, pooled, padded channels": (
        DiscLayout.of([(0, 5, 18)], (0, 0), 2.5, (90, 6)), 1, 1, 40, False,
    ),
    "dK and dV in a launch each": (DiscLayout.of([(3, 5, 18)], (0, 3), 3), 1, 1, 200, True),
    "whole tiles": (DiscLayout.of([(3, 17, 21)], (0, 3), 23), 1, 1, 64, False),
}  # fmt: skip
TOLERANCE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}


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


def draw(layout: DiscLayout, B: int, H: int, D: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v, dout, none of them contiguous, and dlse."""
    source = torch.Generator().manual_seed(layout.keys)
    tokens = torch.randn(B, layout.keys, 4, H, D, generator=source).to(dtype).transpose(1, 3)
    q, k, v, up = tokens.unbind(2)
    q, up = q[:, :, : layout.queries], up[:, :, : layout.queries]
    return [q, k, v, up, torch.randn(B, H, layout.queries, generator=source)]


def draw_bias(layout: DiscLayout, B: int, H: int) -> Tensor:
    """One for all heads; every seventh key hidden."""
    bias = torch.randn(B, 1, layout.keys, generator=torch.Generator().manual_seed(1))
    bias[..., ::7] = -torch.inf
    return bias.expand(B, H, layout.keys)


def compare(
    layout: DiscLayout, given: list[Tensor], bias: Tensor | None, tolerance: float
) -> tuple[Tensor, ...]:
    """Runs both passes; returns what Triton gave."""
    q, k, v, up, dlse = given
    scale = q.shape[3] ** -0.5
    out, lse = triton.forward(q, k, v, layout, scale, bias)
    found = (out, lse, *triton.backward(up, dlse, q, k, v, out, lse, layout, scale, bias))
    wide = [x.double() for x in given]
    exact = reference.forward(*wide[:3], layout, scale, bias)
    wanted = (
        *exact,
        *reference.backward(wide[3], wide[4], *wide[:3], *exact, layout, scale, bias),
    )
    for name, a, b in zip(("out", "lse", "dq", "dk", "dv", "dbias"), found, wanted, strict=True):
        if b is not None:
            size = max(1.0, float(finite(b).abs().max()))
            torch.testing.assert_close(
                a.double(), b, atol=tolerance * size, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
            )
    return found


@pytest.mark.usefixtures("tiles_of_16_bits")
@pytest.mark.parametrize("name", CASES)
def test_output_lse_and_gradients(name: str) -> None:
    layout, B, H, D, biased = CASES[name]
    given = draw(layout, B, H, D, torch.float32)
    compare(layout, given, draw_bias(layout, B, H) if biased else None, TOLERANCE[torch.float32])


@pytest.mark.parametrize("D", [128, 72])
def test_channels_in_pieces(D: int) -> None:
    """fp32 as it ships; of 72 channels in 128 one piece is cut and one is empty."""
    layout = DiscLayout.of([(3, 9, 6)], (0, 3), 2.5, (57, 4))
    chosen = [setting(kind, D, 4, True, 90) for kind in ("forward", "query", "key")]
    assert all(one.piece == 32 and one.own == (8, 8) for one in chosen)
    compare(layout, draw(layout, 1, 1, D, torch.float32), draw_bias(layout, 1, 1), 2e-5)


@pytest.mark.parametrize(
    ("dtype", "D", "radius"),
    [(torch.float16, 64, 8), (torch.bfloat16, 64, 5.5), (torch.bfloat16, 128, 16)],
)
def test_half_precision(dtype: torch.dtype, D: int, radius: float) -> None:
    layout = DiscLayout.of([(5, 9, 21)], (0, 5), radius)
    out, lse, dq, *_ = compare(layout, draw(layout, 1, 1, D, dtype), None, TOLERANCE[dtype])
    assert out.dtype == dq.dtype == dtype and lse.dtype == torch.float32


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_split_runs_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LONG", 1)
    layout = DiscLayout.of([(0, 9, 13)], (117, 11), 3, (128, 70))
    compare(layout, draw(layout, 1, 2, 64, torch.float32), draw_bias(layout, 1, 2), 2e-5)


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_a_disc_over_all_is_plain_attention() -> None:
    layout = DiscLayout.of([(5, 9, 17)], (0, 5), 30)
    q, k, v, *_ = draw(layout, 1, 1, 64, torch.float32)
    out = disc_attention(q, k, v, grids=layout.grids, text=(0, 5), radius=30, impl="triton")
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v), atol=2e-6, rtol=0)


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_two_halves_of_the_keys_merge_into_the_whole() -> None:
    layout = DiscLayout.of([(5, 9, 13)], (0, 5), 4)
    q, k, v, *_ = draw(layout, 1, 1, 64, torch.float32)
    hidden = torch.where(torch.arange(layout.keys) % 2 == 0, 0.0, -torch.inf)
    other = torch.where(hidden == 0, -torch.inf, 0.0)
    parts = [
        triton.forward(q, k, v, layout, 0.1, bias.expand(1, 1, -1)) for bias in (hidden, other)
    ]
    out, lse = merge(*zip(*parts, strict=True))
    whole, whole_lse = triton.forward(q, k, v, layout, 0.1, None)
    torch.testing.assert_close(out, whole, atol=2e-6, rtol=0)
    torch.testing.assert_close(lse, whole_lse, atol=2e-6, rtol=0)


@pytest.mark.usefixtures("tiles_of_16_bits")
def test_rows_that_see_nothing_are_zero_and_have_no_gradient() -> None:
    layout = DiscLayout.of([(5, 9, 13)], (0, 5), 2)
    given = draw(layout, 1, 1, 64, torch.float32)
    bias = torch.full((1, 1, layout.keys), -torch.inf)
    bias[..., -1] = 0.5
    out, lse, dq, dk, dv, dbias = compare(layout, given, bias, 2e-5)
    blind = lse == -torch.inf
    assert int((~blind).sum()) == 5 + 4  # the text, and the last cell's disc within the grid
    assert not out[blind].any() and not dq[blind].any()
    assert not dk[:, :, :-1].any() and not dv[:, :, :-1].any() and not dbias[..., :-1].any()


def test_autograd_and_a_bias_shared_by_heads() -> None:
    layout = DiscLayout.of([(0, 5, 7)], (35, 3), 2)
    q, k, v, *_ = draw(layout, 2, 2, 64, torch.float32)
    where = {"grids": layout.grids, "text": layout.text, "radius": layout.radius}
    found = []
    for impl in ("triton", "reference"):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        bias = torch.linspace(-1, 1, 38).requires_grad_()
        out, lse = disc_attention(*leaves, **where, key_bias=bias, return_lse=True, impl=impl)
        (out.square().sum() + lse.sum()).backward()
        found.append([out, lse, bias.grad, *(x.grad for x in leaves)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-5)
