"""Few tokens on a CPU: a masked attention instead of tiles, with the same result."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from attention_studio.kernels.disc import DiscLayout, disc_attention, masked

GIVEN: dict[str, Any] = {"grids": [(5, 6, 4)], "text": (0, 5), "radius": 2.5}


def tensors(pooled: bool) -> tuple[Tensor, Tensor, Tensor, dict[str, Any]]:
    torch.manual_seed(0)
    keys = 29 + (6 if pooled else 0)
    q, k, v = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (29, keys, keys))
    return q, k, v, GIVEN | ({"pooled": (29, 6)} if pooled else {})


@pytest.mark.parametrize("pooled", [False, True])
def test_results_and_gradients_are_those_of_the_tiles(
    pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v, given = tensors(pooled)
    seen: list[int] = []
    attend = masked.attend
    monkeypatch.setattr(masked, "attend", lambda *args: seen.append(1) or attend(*args))
    found = disc_attention(q, k, v, **given)
    assert seen == [1]
    expected = disc_attention(q, k, v, impl="tiled", **given)
    assert seen == [1], "a named one never falls back to another"
    assert torch.allclose(found, expected, atol=1e-6)
    upstream = torch.randn_like(found)
    for one, two in zip(
        torch.autograd.grad(found, (q, k, v), upstream),
        torch.autograd.grad(expected, (q, k, v), upstream),
        strict=True,
    ):
        assert torch.allclose(one, two, atol=1e-5)


def test_more_keys_a_bias_and_the_lse_are_for_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Tensor:
        raise AssertionError("a table was formed")

    monkeypatch.setattr(masked, "attend", never)
    q, k, v, given = tensors(False)
    disc_attention(q, k, v, key_bias=torch.zeros(29), **given)
    disc_attention(q, k, v, return_lse=True, **given)
    monkeypatch.setattr(masked, "_FEW_TRAINED", 28)
    disc_attention(q, k, v, **given)
    with torch.no_grad(), pytest.raises(AssertionError, match="a table"):
        disc_attention(q, k, v, **given)


def test_a_table_made_in_inference_mode_serves_training() -> None:
    masked._table.cache_clear()
    layout = DiscLayout.of(GIVEN["grids"], GIVEN["text"], 2.5, None)
    with torch.inference_mode():
        made = masked._table(layout)
    assert not made.is_inference() and made is masked._table(layout)
