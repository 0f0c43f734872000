"""What disc attention refuses; compiled, checkpointed and under torch's own check."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from attention_studio.kernels.disc import DiscLayout, api, disc_attention, masked

from .brute import draw

WHERE: dict[str, Any] = {"grids": [(4, 8, 10)], "text": (0, 4), "radius": 3.0}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"radius": 0}, "radius: came 0.0"),
        ({"radius": float("nan")}, "radius: came nan"),
        ({"radius": float("inf")}, "radius: came inf"),
        ({"grids": []}, "grids: came"),
        ({"grids": [(4, 8)]}, r"grids: came \(4, 8\), expected \(offset, height, width\)"),
        ({"grids": [(4, 8.0, 10)]}, "grids: came .* whole numbers"),
        ({"grids": [(4, 8, 10), (84, 0, 3)]}, "grids: came .* at least 1 × 1"),
        ({"grids": [(4, 8, 9)]}, "76 queries and 76 keys, but q came with 84 and k with 84"),
        ({"grids": [(3, 8, 10)]}, "overlap at token 3"),
        ({"grids": [(5, 8, 10)]}, "leave a gap at token 4"),
        ({"text": (84, 4)}, "leave a gap at token 0"),
        ({"text": (0, -4)}, r"text: came \(0, -4\)"),
        ({"text": (0,)}, r"text: came \(0,\)"),
        ({"pooled": (80, 4)}, "pooled: came offset 80, expected 84"),
        ({"pooled": (84, 4)}, "84 queries and 88 keys, but .* k with 84 tokens"),
        ({"scale": 0.0}, "scale: came 0.0, expected a finite number above 0"),
        ({"scale": -1.0, "impl": "triton"}, "scale: came -1.0, expected"),
        ({"scale": float("nan"), "impl": "reference"}, "scale: came nan, expected"),
        ({"scale": float("inf"), "impl": "tiled"}, "scale: came inf, expected"),
        ({"impl": "cuda"}, "impl: came 'cuda', expected one of auto, reference, tiled, triton"),
        ({"key_bias": torch.zeros(83)}, r"key_bias: came shape \[83\], expected .* \[2, 3, 84\]"),
        ({"key_bias": torch.zeros(1, 1, 1, 84)}, r"key_bias: came shape \[1, 1, 1, 84\]"),
        ({"key_bias": torch.zeros(84, dtype=torch.int32)}, "key_bias: came torch.int32"),
        ({"key_bias": torch.zeros(84, device="meta")}, "key_bias: came .* on meta"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], message: str) -> None:
    q, k, v = draw(84, 84, dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        disc_attention(q, k, v, **{**WHERE, **changed})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q, k, v: (q[0], k, v), "q: came shape .* expected .B, H, tokens, D."),
        (lambda q, k, v: (q, k.half(), v), "k: came torch.float16 on cpu, expected torch.float32"),
        (lambda q, k, v: (q, k, v.to("meta")), "v: came torch.float32 on meta"),
        (lambda q, k, v: (q.int(), k.int(), v.int()), "q: came torch.int32, expected float16"),
        (lambda q, k, v: (q, k[:, :2], v), r"k: came shape \[2, 2, 84, 8\], expected \[2, 3, 84"),
        (lambda q, k, v: (q, k, v[..., :4]), r"v: came shape \[2, 3, 84, 4\]"),
        (lambda q, k, v: (q[:, :, :0], k, v), "q: came without tokens, expected at least 1"),
        (lambda q, k, v: (q, k[:, :, :0], v[:, :, :0]), "k: came without tokens"),
        (lambda q, k, v: (q, k, v[:, :, :80]), r"v: came shape \[2, 3, 80, 8\]"),
        (lambda q, k, v: [x[..., ::2] for x in (q, k, v)], "q: came strides"),
        (lambda q, k, v: [x.repeat(1, 1, 1, 33) for x in (q, k, v)], "q: came 264 channels"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        disc_attention(*change(*draw(84, 84, dtype=torch.float32)), **WHERE)


def test_triton_on_the_cpu_is_refused_outside_its_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    implementation = sys.modules["attention_studio.kernels.inputs.implementation"]
    monkeypatch.setattr(implementation, "_interprets", lambda: False)
    q, k, v = draw(84, 84, dtype=torch.float32)
    with pytest.raises(ValueError, match="impl: came 'triton' for tensors on cpu"):
        disc_attention(q, k, v, **WHERE, impl="triton")
    with pytest.raises(ValueError, match="q: came float64"):
        disc_attention(q.double(), k.double(), v.double(), **WHERE, impl="triton")


def test_auto_is_the_tiled_path_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked, "_FEW", 83)
    q, k, v = draw(84, 84, dtype=torch.float32)
    assert torch.equal(
        disc_attention(q, k, v, **WHERE), disc_attention(q, k, v, **WHERE, impl="tiled")
    )


def test_torch_s_own_check_of_the_operator() -> None:
    q, k, v = (x.requires_grad_() for x in draw(30, 32, dtype=torch.float32))
    bias = torch.zeros(32, requires_grad=True).expand(2, 3, 32)
    numbers = ([2, 4, 7], [0, 2], [30, 2], 3.0)
    torch.library.opcheck(api._attention, (q, k, v, bias, None, None, *numbers, 0.3, "tiled"))
    for impl in ("reference", "tiled"):
        torch.library.opcheck(
            api._attention,
            (q.half(), k.half(), v.half(), None, None, None, *numbers, 0.3, impl),
            test_utils=("test_schema", "test_faketensor"),
        )


def _model(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    out, lse = disc_attention(q * 2, k, v, **WHERE, key_bias=bias, return_lse=True)
    return out.square().sum() + lse.sum()


def test_compiled_whole_and_checkpointed_it_is_the_same() -> None:
    leaves = [x.requires_grad_() for x in draw(84, 84, dtype=torch.float32)]
    leaves.append(torch.zeros(1, 3, 84, requires_grad=True))
    compiled = torch.compile(_model, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(_model(*leaves), leaves)
    for found in (
        torch.autograd.grad(compiled(*leaves), leaves),
        torch.autograd.grad(checkpoint(_model, *leaves, use_reentrant=False), leaves),
    ):
        for a, b in zip(found, wanted, strict=True):
            assert torch.equal(a, b)


def test_a_second_derivative_is_refused() -> None:
    q, k, v = (x.requires_grad_() for x in draw(84, 84))
    out = disc_attention(q, k, v, **WHERE)
    grad = torch.autograd.grad(out.square().sum(), q, create_graph=True)[0]
    with pytest.raises(RuntimeError):
        grad.sum().backward()


@pytest.mark.parametrize("radius", [0.5, 1, 1.01, 2**0.5, 2, 5, 5.0001, 8, 1e300])
def test_the_limit_says_in_whole_numbers_what_the_radius_says(radius: float) -> None:
    layout = DiscLayout.of([(0, 9, 13)], (117, 0), radius)
    for squared in range(8**2 + 12**2 + 1):
        assert (squared <= layout.limit) == (squared < radius * radius)
    assert layout.reach**2 <= layout.limit < (layout.reach + 1) ** 2
    assert DiscLayout.of_numbers(*layout.numbers) == layout and hash(layout)
