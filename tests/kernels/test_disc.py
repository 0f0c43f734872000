"""Disc attention, oracle and CPU path, against attention written out in fp64."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attention_studio.kernels.disc import DiscLayout, disc_attention, reference, tiled
from attention_studio.kernels.merge import merge
from attention_studio.kernels.rows import forward as rows_forward

from .brute import LAYOUTS, dense, disc_sees, draw, draw_bias, finite

IMPLS = {"reference": reference, "tiled": tiled}


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """What is left unwritten is seen: torch fills new tensors with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def layout(request: pytest.FixtureRequest) -> DiscLayout:
    return LAYOUTS[request.param]


@pytest.fixture(params=IMPLS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    return IMPLS[request.param]


@pytest.mark.parametrize("biased", [False, True])
def test_output_and_lse_are_those_of_the_discs(
    layout: DiscLayout, impl: ModuleType, biased: bool
) -> None:
    q, k, v = draw(layout.queries, layout.keys)
    bias = draw_bias(2, 3, layout.keys) if biased else None
    wanted, wanted_lse = dense(q, k, v, disc_sees(layout), 0.3, bias)
    out, lse = impl.forward(q, k, v, layout, 0.3, bias)
    torch.testing.assert_close(out, wanted, atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(lse, wanted_lse, atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3)])
def test_a_shared_bias_is_the_same_for_all(shape: tuple[int, int]) -> None:
    layout = LAYOUTS["two grids, text between"]
    q, k, v = draw(layout.queries, layout.keys)
    bias = draw_bias(*shape, layout.keys)
    shared = tiled.forward(q, k, v, layout, 0.3, bias.expand(2, 3, -1))
    own = tiled.forward(q, k, v, layout, 0.3, bias.expand(2, 3, -1).contiguous())
    assert torch.equal(shared[0], own[0]) and torch.equal(shared[1], own[1])


def test_pieces_of_any_size_make_the_whole(
    layout: DiscLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v = draw(layout.queries, layout.keys, dtype=torch.bfloat16)
    bias = draw_bias(2, 3, layout.keys).float()
    whole = tiled.forward(q, k, v, layout, 0.3, bias)
    monkeypatch.setattr(rows_forward, "_KEYS", 5)
    monkeypatch.setattr(rows_forward.Keys.pieces, "__defaults__", (5,))
    monkeypatch.setattr(tiled, "SCORES", 100)
    monkeypatch.setattr(tiled, "_COPIED", 1)
    parts = tiled.forward(q, k, v, layout, 0.3, bias)
    torch.testing.assert_close(parts[0], whole[0], atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(parts[1], whole[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["reference", "tiled"])
def test_a_disc_over_all_is_plain_attention(name: str) -> None:
    q, k, v = draw(7 + 6 * 9, 7 + 6 * 9, 16, torch.float32)
    out = disc_attention(q, k, v, grids=[(7, 6, 9)], text=(0, 7), radius=11, impl=name)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["reference", "tiled"])
def test_radius_1_leaves_the_text_and_the_token_itself(name: str) -> None:
    q, k, v = draw(4 + 35, 4 + 35)
    out = disc_attention(q, k, v, grids=[(4, 5, 7)], text=(0, 4), radius=1, impl=name)
    for i in (4, 17, 38):
        seen = [0, 1, 2, 3, i]
        probs = (q[:, :, i, None] @ k[:, :, seen].mT * 8**-0.5).softmax(-1)
        torch.testing.assert_close(out[:, :, i, None], probs @ v[:, :, seen])


def test_batch_and_heads_are_strangers() -> None:
    layout = LAYOUTS["image first, pooled"]
    q, k, v = draw(layout.queries, layout.keys, dtype=torch.float32)
    out, lse = tiled.forward(q, k, v, layout, 0.3, None)
    b, h = torch.tensor([1, 0]), torch.tensor([2, 0, 1])
    moved = tiled.forward(*(x[b][:, h] for x in (q, k, v)), layout, 0.3, None)
    torch.testing.assert_close(moved[0], out[b][:, h], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(moved[1], lse[b][:, h], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["reference", "tiled"])
def test_two_halves_of_the_keys_merge_into_the_whole(name: str) -> None:
    layout = LAYOUTS["two grids, text between"]
    q, k, v = draw(layout.queries, layout.keys)
    hidden = torch.where(torch.arange(layout.keys) % 2 == 0, 0.0, -torch.inf).double()
    other = torch.where(hidden == 0, -torch.inf, 0.0)
    where = {"grids": layout.grids, "text": layout.text, "radius": layout.radius}
    parts = [
        disc_attention(q, k, v, **where, key_bias=bias, return_lse=True, impl=name)
        for bias in (hidden, other)
    ]
    out, lse = merge(*zip(*parts, strict=True))
    whole, whole_lse = disc_attention(q, k, v, **where, return_lse=True, impl=name)
    torch.testing.assert_close(out, whole)
    torch.testing.assert_close(lse, whole_lse)


def test_a_query_that_sees_nothing_is_zero(layout: DiscLayout, impl: ModuleType) -> None:
    q, k, v = draw(layout.queries, layout.keys, dtype=torch.float32)
    bias = torch.full((2, 3, layout.keys), -torch.inf)
    bias[0, :, -1] = 0.0
    out, lse = impl.forward(q, k, v, layout, 0.3, bias)
    _, wanted = dense(q.double(), k.double(), v.double(), disc_sees(layout), 0.3, bias.double())
    blind = wanted == -torch.inf
    assert bool(blind[1].all()) and not bool(blind[0].all())
    assert torch.equal(lse == -torch.inf, blind)
    assert bool((out[blind] == 0).all()) and not bool(out.isnan().any())


def test_long_runs_of_hidden_keys_leave_no_trace(impl: ModuleType) -> None:
    layout = DiscLayout.of([(600, 3, 4)], (0, 600), 2)  # the fused call works 512 keys at a time
    q, k, v = draw(layout.queries, layout.keys)
    bias = torch.zeros(2, 3, layout.keys, dtype=torch.float64)
    bias[:, :, :590] = -torch.inf
    wanted, wanted_lse = dense(q, k, v, disc_sees(layout), 0.3, bias)
    out, lse = impl.forward(q, k, v, layout, 0.3, bias)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(lse, wanted_lse)


def test_large_scores_stay_finite(impl: ModuleType) -> None:
    layout = LAYOUTS["text first, odd grid"]
    q, k, v = draw(layout.queries, layout.keys)
    wanted, wanted_lse = dense(q, k, v, disc_sees(layout), 500.0)
    out, lse = impl.forward(q.float(), k.float(), v.float(), layout, 500.0, None)
    torch.testing.assert_close(out.double(), wanted, atol=2e-2, rtol=0)
    torch.testing.assert_close(lse.double(), wanted_lse, atol=2e-2, rtol=1e-5)


def test_any_strides_go_in_and_nothing_is_changed(impl: ModuleType) -> None:
    layout = LAYOUTS["image first, pooled"]
    q, k, v = draw(layout.queries, layout.keys, dtype=torch.float32)
    bias = draw_bias(2, 3, layout.keys).float()
    given = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    packed = torch.cat([k, v], -1)  # keys and values of one fused projection
    given[1:] = packed.split(8, -1)
    before = [x.clone() for x in (*given, bias)]
    out, lse = impl.forward(*given, layout, 0.3, bias)
    again, again_lse = impl.forward(q, k, v, layout, 0.3, bias)
    torch.testing.assert_close(out, again, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(lse, again_lse, atol=1e-6, rtol=1e-6)
    impl.backward(out, lse, *given, out, finite(lse), layout, 0.3, bias)
    assert all(torch.equal(a, b) for a, b in zip(before, (*given, bias), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_errors_are_no_larger_than_those_of_plain_attention(
    dtype: torch.dtype, impl: ModuleType
) -> None:
    layout = DiscLayout.of([(9, 23, 21)], (0, 9), 5)
    q, k, v = draw(layout.queries, layout.keys, 32, dtype)
    sees = disc_sees(layout)
    exact, exact_lse = dense(q.double(), k.double(), v.double(), sees, 32**-0.5)
    eager = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    out, lse = impl.forward(q, k, v, layout, 32**-0.5, None)
    assert out.dtype == dtype and lse.dtype == torch.float32
    budget = torch.finfo(dtype).eps * exact.abs().max()  # parts are merged, the output is rounded
    assert _worst(out, exact) <= _worst(eager, exact) + budget
    assert _worst(lse, exact_lse) <= 2e-5


def _worst(found: Tensor, wanted: Tensor) -> Tensor:
    return (found.double() - wanted).abs().max()


class Largest(TorchDispatchMode):
    """The most elements of any tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, tuple | list) else [made]:
            if isinstance(x, Tensor):
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.itemsize)
        return made


@pytest.mark.parametrize("biased", [False, True])
def test_memory_grows_like_the_tokens(biased: bool) -> None:
    largest = []
    for side in (24, 48):
        layout = DiscLayout.of([(7, side, side)], (0, 7), 5)
        q, k, v = draw(layout.queries, layout.keys, 16, torch.bfloat16, B=1, H=1)
        bias = draw_bias(1, 1, layout.keys).float() if biased else None
        with Largest() as forward:
            out, lse = tiled.forward(q, k, v, layout, 0.3, bias)
        with Largest() as backward:
            tiled.backward(out, None, q, k, v, out, lse, layout, 0.3, bias)
        largest.append((forward.elements, backward.elements, layout.queries))
    (small, small_back, few), (large, large_back, many) = largest
    assert large <= max(small * many / few, tiled.SCORES) and large < many**2 / 8
    assert large_back <= max(small_back * many / few, 2 * tiled.SCORES)
    assert large_back < many**2 / 8
