"""Word maps against brute force in fp64, their gradients, and what they hold meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attention_studio.kernels.maps import api, attention_lse, reference, tiled, word_maps

SHAPES = [(1, 1, 1, 1, 8), (2, 3, 41, 9, 16), (1, 8, 341, 77, 40), (3, 2, 7, 130, 5)]
IMPLS = ["reference", "tiled"]


def tensors(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    B, H, N, S, D = shape
    draw = torch.Generator().manual_seed(N)
    q, k, v = (torch.randn(B, H, n, D, generator=draw, dtype=torch.float64) for n in (N, S, S))
    return (q * 2).to(dtype), k.to(dtype), v.to(dtype)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute(
    q: Tensor, k: Tensor, chosen: Tensor, words: Tensor, scale: float, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Word maps and LSE in fp64 from the whole map; rows that see nothing give zeros and −inf."""
    scores = q.double() @ k.double().mT * scale + (0.0 if bias is None else bias.double())
    blind = (scores == -torch.inf).all(-1)
    lse = scores.masked_fill(blind[..., None], 0.0).logsumexp(-1).masked_fill(blind, -torch.inf)
    probs = scores.masked_fill(blind[..., None], 0.0).softmax(-1).masked_fill(blind[..., None], 0.0)
    return probs.mean(1)[:, :, chosen] @ words.double(), lse


def some(S: int) -> Tensor:
    return torch.arange(S)[:: max(1, S // 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("layout", ["heads first", "tokens first"])
def test_word_maps_are_head_means_of_probabilities(
    impl: Any, shape: tuple[int, ...], layout: str
) -> None:
    B, _, N, S, D = shape
    q, k, _ = tensors(shape)
    if layout == "tokens first":
        q, k = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k))
    chosen = some(S)
    words = noise(B, len(chosen), 2).float()
    wanted, lse = brute(q, k, chosen, words, D**-0.5)
    found = word_maps(q, k[:, :, chosen], words, lse.float(), impl=impl)
    assert found.shape == (B, N, 2) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_of_every_precision_are_multiplied_in_fp32_or_wider(
    impl: Any, dtype: torch.dtype
) -> None:
    q, k, _ = tensors((2, 3, 41, 9, 16), dtype)
    wide = torch.promote_types(dtype, torch.float32)
    words = noise(1, 4, 3)
    wanted, lse = brute(q, k, torch.arange(4), words, 0.2)
    found = word_maps(q, k[:, :, :4], words, lse.to(wide), scale=0.2, impl=impl)
    assert found.dtype == wide
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", [(1, 1, 41, 9), (2, 3, 1, 9), (2, 1, 41, 1), (2, 3, 41, 9)])
def test_a_bias_hides_keys_and_whole_rows(impl: Any, shape: tuple[int, ...]) -> None:
    q, k, _ = tensors((2, 3, 41, 9, 16))
    bias = noise(*shape, seed=2).float()
    bias[..., 0, 0] = -torch.inf
    if shape[2] > 1:
        bias[..., 5, :] = -torch.inf
    chosen, words = torch.tensor([0, 3, 4]), noise(2, 3, 2)
    wanted, lse = brute(q, k, chosen, words, 0.25, bias)
    there = bias if bias.shape[-1] == 1 else bias[..., chosen]
    found = word_maps(q, k[:, :, chosen], words, lse.float(), bias=there, impl=impl)
    torch.testing.assert_close(found.double(), wanted, atol=5e-6, rtol=1e-5)
    if shape[2] > 1:
        assert bool((found[:, 5] == 0).all())


@pytest.mark.parametrize("impl", IMPLS)
def test_a_row_of_minus_infinity_is_zero_even_when_its_scores_are_not(impl: Any) -> None:
    q, k, _ = (x.requires_grad_() for x in tensors((1, 2, 3, 4, 8)))
    lse = torch.zeros(1, 2, 3).index_fill(2, torch.tensor(1), -torch.inf).requires_grad_()
    found = word_maps(q, k, torch.ones(1, 4, 1), lse, impl=impl)
    grads = torch.autograd.grad(found.sum(), (q, k, lse))
    assert found[0, 1, 0] == 0 and found[0, 0, 0] > 0
    assert all(bool(grad.isfinite().all()) for grad in grads)
    assert bool((grads[0][:, :, 1] == 0).all()) and bool((grads[2][:, :, 1] == 0).all())


@pytest.mark.parametrize("elements", [2**18, 300, 1])
def test_the_size_of_a_chunk_changes_nothing(
    elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled, "_ELEMENTS", elements)
    q, k, _ = tensors((2, 5, 41, 9, 16))
    words = noise(2, 9, 2).float()
    wanted, lse = brute(q, k, torch.arange(9), words, 0.25)
    lse = lse.float()
    found = tiled.forward(q, k, words, lse, None, 0.25)
    torch.testing.assert_close(found.double(), wanted, atol=5e-6, rtol=1e-5)
    dout = noise(2, 41, 2, seed=3).float()
    inputs = [x.clone().requires_grad_() for x in (q, k, lse)]
    maps = reference.word_maps(inputs[0], inputs[1], words, inputs[2], None, 0.25)
    for a, b in zip(
        tiled.backward(dout, q, k, words, lse, None, 0.25),
        torch.autograd.grad(maps, inputs, dout),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_are_those_of_finite_differences(impl: Any, biased: bool) -> None:
    q, k, _ = (x.requires_grad_() for x in tensors((2, 2, 5, 4, 3), torch.float64))
    lse = (q.detach() @ k.detach().mT).logsumexp(-1).requires_grad_()
    words = noise(2, 4, 2)
    bias = None
    if biased:
        bias = noise(1, 2, 5, 4, seed=4)
        bias[..., 2, :] = -torch.inf

    def maps(q: Tensor, k: Tensor, lse: Tensor) -> Tensor:
        return word_maps(q, k, words, lse, bias=bias, scale=0.7, impl=impl)

    assert torch.autograd.gradcheck(maps, (q, k, lse))


@pytest.mark.parametrize("impl", IMPLS)
def test_an_objective_on_maps_reaches_every_key_through_the_lse(impl: Any) -> None:
    q, k, v = (x.requires_grad_() for x in tensors((2, 3, 41, 30, 16)))
    chosen, words = torch.tensor([1, 7, 8]), noise(2, 3, 2).float()

    def objective(maps: Tensor) -> Tensor:
        return maps.square().sum() - maps.amax(1).sum()

    out, lse = attention_lse(q, k, v)
    maps = word_maps(q, k[:, :, chosen], words, lse, impl=impl)
    found = torch.autograd.grad(objective(maps) + out.sum(), (q, k, v))

    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    probs = (wide[0] @ wide[1].mT * 0.25).softmax(-1)
    exact = objective(probs.mean(1)[:, :, chosen] @ words.double()) + (probs @ wide[2]).sum()
    wanted = torch.autograd.grad(exact, wide)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.double(), b, atol=2e-5, rtol=2e-4)


class Largest(TorchDispatchMode):
    """The most elements that any operation put into new memory."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if _is(x)}
        found = func(*args, **(kwargs or {}))
        for x in tree_leaves(found):
            if _is(x) and x.untyped_storage().data_ptr() not in given:
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.itemsize)
        return found


def _is(x: object) -> bool:
    return isinstance(x, Tensor)


def held(function: Callable[..., object], *args: object) -> int:
    with Largest() as largest:
        function(*args)
    return largest.elements


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scratch_is_bounded_however_many_heads(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled, "_ELEMENTS", 2048)
    forward, backward = [], []
    for H in (2, 16):
        q, k, _ = tensors((1, H, 300, 40, 8), dtype)
        words, lse = torch.ones(1, 40, 2), torch.zeros(1, H, 300)
        forward.append(held(tiled.forward, q, k, words, lse, None, 1.0))
        dout = torch.ones(1, 300, 2)
        backward.append(held(tiled.backward, dout, q, k, words, lse, None, 1.0) / H)
    assert forward[0] == forward[1] <= 2048
    assert backward[1] <= 300 * 8  # dq itself; H·N·T would be 300 · 40 a head
    q, k, _ = tensors((1, 16, 300, 40, 8), dtype)
    assert held(reference.word_maps, q, k, words, lse, None, 1.0) >= 16 * 300 * 40  # it can fail


@pytest.mark.parametrize("name", ["words", "bias"])
def test_constants_that_require_grad_are_refused(name: str) -> None:
    q, k, _ = tensors((1, 2, 3, 4, 8))
    given: dict[str, Tensor] = {"words": torch.ones(1, 4, 1), "bias": torch.zeros(1, 1, 3, 4)}
    given[name].requires_grad_()
    with pytest.raises(ValueError, match=f"{name}: requires grad"):
        word_maps(q, k, lse=torch.zeros(1, 2, 3), **given)
    found = word_maps(q, k, lse=torch.zeros(1, 2, 3), impl="reference", **given)
    assert torch.autograd.grad(found.sum(), given[name])[0].shape == given[name].shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impl": "flash"}, "impl: came 'flash'"),
        ({"k": torch.zeros(1, 2, 4, 7)}, r"k: came torch.float32 of shape \[1, 2, 4, 7\]"),
        ({"words": torch.ones(1, 5, 1)}, r"words: came shape \[1, 5, 1\]; expected \[1 or 1, 4, W"),
        ({"lse": torch.zeros(1, 2, 3).half()}, "lse: came torch.float16"),
        ({"k": torch.zeros(1, 2, 4, 8, device="meta")}, "k: came on meta; expected cpu as q"),
        ({"words": torch.ones(1, 4, 1, device="meta")}, "words: came on meta"),
        ({"lse": torch.zeros(1, 2, 3, device="meta")}, "lse: came on meta"),
        ({"bias": torch.zeros(1, 1, 3, 5)}, r"bias: came shape \[1, 1, 3, 5\]"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    q, k, _ = tensors((1, 2, 3, 4, 8))
    given = {"q": q, "k": k, "words": torch.ones(1, 4, 1), "lse": torch.zeros(1, 2, 3)}
    with pytest.raises(ValueError, match=message):
        word_maps(**{**given, **change})


@pytest.mark.parametrize(
    ("dtype", "channels", "impl"),
    [
        (torch.float64, 8, "tiled"),
        (torch.float32, 128, "triton"),
        (torch.float32, 160, "tiled"),
        (torch.float16, 160, "triton"),
    ],
)
def test_auto_leaves_what_would_spill_on_a_gpu_to_torch(
    dtype: torch.dtype, channels: int, impl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(api, "_word_maps", lambda *given: seen.append(given[-1]))
    with FakeTensorMode():
        q, k, words, lse = (
            torch.empty(shape, dtype=kind, device="cuda")
            for shape, kind in (
                ((1, 2, 3, channels), dtype),
                ((1, 2, 4, channels), dtype),
                ((1, 4, 1), torch.float32),
                ((1, 2, 3), torch.promote_types(dtype, torch.float32)),
            )
        )
        word_maps(q, k, words, lse)
        if impl == "tiled" and dtype == torch.float32:
            with pytest.raises(ValueError, match=r"q: came torch\.float32 with 160 channels"):
                word_maps(q, k, words, lse, impl="triton")
    assert seen == [impl]


def test_the_operator_is_registered_as_torch_wants_it() -> None:
    q, k, _ = (x.requires_grad_() for x in tensors((2, 3, 11, 9, 16)))
    lse = torch.zeros(2, 3, 11, requires_grad=True)
    bias = torch.zeros(1, 3, 1, 9).expand(2, 3, 11, 9)
    args = (q, k, torch.ones(2, 9, 2), lse, bias, 0.3, "tiled")
    torch.library.opcheck(torch.ops.attention_studio.word_maps.default, args)


def test_it_compiles_in_one_graph() -> None:
    q, k, v = (x.requires_grad_() for x in tensors((1, 2, 11, 9, 16)))
    words = torch.ones(1, 3, 2)

    def both(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, lse = attention_lse(q, k, v)
        return word_maps(q, k[:, :, :3], words, lse).square().sum() + out.sum()

    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(both(q, k, v), (q, k, v))
    for a, b in zip(torch.autograd.grad(compiled(q, k, v), (q, k, v)), wanted, strict=True):
        torch.testing.assert_close(a, b)
