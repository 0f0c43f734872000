"""Labelled attention, oracle and CPU path, against attention written out in fp64."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.kernels.disc import DiscLayout
from attention_studio.kernels.labelled import api, labelled_attention, reference, tiled

from .brute import LAYOUTS, dense, disc_sees, draw, draw_bias, finite
from .test_disc import Largest

IMPLS = {"reference": reference, "tiled": tiled}
# queries, keys, different words, see per picture, own per picture
CASES = {
    "few words": (90, 90, 3, True, True),
    "reference keys": (200, 330, 4, False, True),
    "big and small sets": (300, 75, 5, True, False),
    "a word a token": (150, 170, 500, False, False),
    "one for all": (40, 50, 1, False, False),
}


@pytest.fixture(autouse=True)
def nan_in_new_memory() -> Iterator[None]:
    """What is left unwritten is seen: torch fills new tensors with NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=IMPLS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    return IMPLS[request.param]


def draw_words(name: str) -> tuple[Tensor, Tensor]:
    """see [B or 1, N] and own [B or 1, S]; some look at nothing, the sign bit is a group too."""
    queries, keys, count, many_see, many_own = CASES[name]
    source = torch.Generator().manual_seed(len(name))
    words = torch.randint(-(2**31), 2**31 - 1, (count,), generator=source)
    words = words & torch.randint(-(2**31), 2**31 - 1, (count,), generator=source)
    see = words[torch.randint(count, (1 + many_see, queries), generator=source)]
    own = torch.randint(-(2**31), 2**31 - 1, (1 + many_own, keys), generator=source)
    for _ in range(3):
        own = own & torch.randint(-(2**31), 2**31 - 1, own.shape, generator=source)
    see[:, :9] = 0
    return see.int(), own.int()


def sees(see: Tensor, own: Tensor) -> Tensor:
    """bool [B or 1, 1, N, S]."""
    pairs = [[[bool(a & b) for b in y] for a in x] for x, y in _rows(see.tolist(), own.tolist())]
    return torch.tensor(pairs)[:, None]


def _rows(see: list[list[int]], own: list[list[int]]) -> list[tuple[list[int], list[int]]]:
    count = max(len(see), len(own))
    return [(see[i % len(see)], own[i % len(own)]) for i in range(count)]


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("biased", [False, True])
def test_output_lse_and_gradients_are_those_of_the_labels(
    impl: ModuleType, name: str, biased: bool
) -> None:
    see, own = draw_words(name)
    leaves = [x.requires_grad_() for x in draw(see.shape[1], own.shape[1])]
    bias = draw_bias(2, 3, own.shape[1]).requires_grad_() if biased else None
    wanted, wanted_lse = dense(*leaves, sees(see, own), 0.3, bias)
    dout, dlse = torch.randn_like(wanted), torch.randn_like(wanted_lse)
    loss = (wanted * dout).sum() + (finite(wanted_lse) * dlse).sum()
    grads = torch.autograd.grad(loss, [*leaves, bias] if bias is not None else leaves)
    with torch.no_grad():
        out, lse = impl.forward(*leaves, see, own, None, 0.3, bias)
        found = impl.backward(dout, dlse, *leaves, out, lse, see, own, None, 0.3, bias)
    torch.testing.assert_close(out, wanted, atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(lse, wanted_lse, atol=1e-13, rtol=1e-12)
    for a, b in zip(found, grads, strict=False):
        torch.testing.assert_close(a, b, atol=1e-13, rtol=1e-11)
    assert bool((lse[:, :, :9] == -torch.inf).all()) and bool((out[:, :, :9] == 0).all())


@pytest.mark.parametrize("name", LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def test_labels_and_discs_must_both_allow_a_pair(impl: ModuleType, name: str) -> None:
    layout = LAYOUTS[name]
    source = torch.Generator().manual_seed(0)
    see = torch.randint(0, 4, (2, layout.queries), generator=source).int()
    own = torch.randint(0, 4, (1, layout.keys), generator=source).int()
    leaves = [x.requires_grad_() for x in draw(layout.queries, layout.keys)]
    bias = draw_bias(1, 3, layout.keys).requires_grad_()
    wanted, wanted_lse = dense(*leaves, sees(see, own) & disc_sees(layout), 0.3, bias)
    loss = wanted.square().sum() + finite(wanted_lse).sum()
    grads = torch.autograd.grad(loss, [*leaves, bias])
    found, found_lse = labelled_attention(
        *leaves,
        see=see,
        own=own,
        scale=0.3,
        key_bias=bias,
        disc=layout,
        return_lse=True,
        impl="tiled" if impl is tiled else "reference",
    )
    torch.testing.assert_close(found, wanted, atol=1e-13, rtol=1e-12)
    torch.testing.assert_close(found_lse, wanted_lse, atol=1e-13, rtol=1e-12)
    loss = found.square().sum() + finite(found_lse).sum()
    for a, b in zip(torch.autograd.grad(loss, [*leaves, bias]), grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-11)


def test_subjects_do_not_see_each_other() -> None:
    q, k, v = draw(77 + 100, 77 + 100, dtype=torch.float32)
    own = torch.tensor([[1] * 77 + [2] * 50 + [4] * 50], dtype=torch.int32)
    see = torch.tensor([[7] * 77 + [3] * 50 + [5] * 50], dtype=torch.int32)
    out = labelled_attention(q, k, v, see=see, own=own)
    kept = torch.cat([torch.arange(77), torch.arange(127, 177)])
    alone = F.scaled_dot_product_attention(q[:, :, 127:], k[:, :, kept], v[:, :, kept])
    torch.testing.assert_close(out[:, :, 127:], alone, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_errors_are_no_larger_than_those_of_plain_attention(
    dtype: torch.dtype, impl: ModuleType
) -> None:
    see, own = draw_words("reference keys")
    q, k, v = draw(see.shape[1], own.shape[1], 32, dtype)
    mask = sees(see, own)
    exact, exact_lse = dense(q.double(), k.double(), v.double(), mask, 32**-0.5)
    eager = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).masked_fill(
        ~mask.any(-1, keepdim=True), 0.0
    )
    out, lse = impl.forward(q, k, v, see, own, None, 32**-0.5, None)
    budget = torch.finfo(dtype).eps * exact.abs().max()
    assert out.dtype == dtype and lse.dtype == torch.float32
    assert (out - exact).abs().max() <= (eager - exact).abs().max() + budget
    torch.testing.assert_close(lse.double(), exact_lse, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("words", [4, 10_000])
def test_memory_grows_like_the_tokens(words: int) -> None:
    largest = []
    for count in (500, 2000):
        source = torch.Generator().manual_seed(0)
        see = torch.randint(1, words, (1, count), generator=source).int()
        q, k, v = draw(count, count, 16, torch.bfloat16, B=1, H=1)
        with Largest() as forward:
            out, lse = tiled.forward(q, k, v, see, see, None, 0.25, None)
        with Largest() as backward:
            tiled.backward(out, None, q, k, v, out, lse, see, see, None, 0.25, None)
        largest.append(max(forward.elements, backward.elements))
    assert largest[1] <= max(4 * largest[0], 2**18) and largest[1] < 2000**2 / 8


WORDS = torch.ones(1, 40, dtype=torch.int32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"see": WORDS.long()}, "see: came torch.int64 on cpu, expected int32"),
        ({"own": WORDS.float()}, "own: came torch.float32"),
        ({"see": WORDS[0]}, r"see: came shape \[40\], expected \[2 or 1, 40\]"),
        ({"see": WORDS.expand(3, 40)}, r"see: came shape \[3, 40\]"),
        ({"own": WORDS[:, :39]}, r"own: came shape \[1, 39\], expected \[2 or 1, 40\]"),
        ({"own": WORDS.to("meta")}, "own: came torch.int32 on meta, expected int32 on cpu"),
        ({"key_bias": torch.zeros(39)}, "key_bias: came"),
        ({"scale": 0.0}, "scale: came 0.0, expected a finite number above 0"),
        ({"scale": -1.0, "impl": "triton"}, "scale: came -1.0"),
        ({"impl": "flash"}, "impl: came 'flash'"),
        ({"disc": DiscLayout.of([(0, 3, 4)], (0, 0), 1)}, "disc: it has 12 queries and 12 keys"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labelled_attention(*draw(40, 40), **{"see": WORDS, "own": WORDS, **changed})


def test_the_operator_compiles_and_passes_torch_s_own_check() -> None:
    leaves = [x.requires_grad_() for x in draw(40, 40, dtype=torch.float32)]
    see = (torch.arange(40) % 4).int()[None]
    torch.library.opcheck(api._attention, (*leaves, None, see, see, [], [], [], 0.0, 0.3, "tiled"))

    def model(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        layout = DiscLayout.of([(4, 4, 9)], (0, 4), 2)
        return labelled_attention(q * 2, k, v, see=see, own=see, disc=layout).square().sum()

    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(model(*leaves), leaves)
    for a, b in zip(torch.autograd.grad(compiled(*leaves), leaves), wanted, strict=True):
        assert torch.equal(a, b)
