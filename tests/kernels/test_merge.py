"""Partial attentions merged by their log-sum-exp against attention over all keys."""

from __future__ import annotations

import pytest
import torch

from attention_studio.kernels.maps import reference
from attention_studio.kernels.merge import merge


@pytest.mark.parametrize("cuts", [(9,), (1, 8), (3, 3, 3), (4, 0, 5)])
def test_parts_make_the_whole(cuts: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=draw, dtype=torch.float64) for n in (41, 9, 9))
    parts = []
    for keys, values in zip(k.split(cuts, 2), v.split(cuts, 2), strict=True):
        scores = q @ keys.mT * 8**-0.5
        parts.append((scores.softmax(-1) @ values, scores.logsumexp(-1)))
    out, lse = merge(*zip(*parts, strict=True))
    whole = (q @ k.mT * 8**-0.5).softmax(-1) @ v
    torch.testing.assert_close(out, whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(lse, (q @ k.mT * 8**-0.5).logsumexp(-1))


def test_a_row_without_keys_is_zero_and_half_precision_stays() -> None:
    out = torch.ones(1, 1, 2, 4, dtype=torch.bfloat16)
    lse = torch.tensor([[[0.0, -torch.inf]]])
    merged, total = merge([out, out], [lse, lse])
    assert merged.dtype == torch.bfloat16
    assert merged[0, 0, 0].tolist() == [1.0] * 4 and merged[0, 0, 1].tolist() == [0.0] * 4
    assert total[0, 0, 1] == -torch.inf


def test_parts_with_half_precision_are_summed_in_fp32() -> None:
    draw = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 2, n, 8, generator=draw).bfloat16() for n in (5, 6, 6))
    parts = [reference.attention_lse(q, k[:, :, s], v[:, :, s]) for s in (slice(3), slice(3, 6))]
    out, _ = merge(*zip(*parts, strict=True))
    whole, _ = reference.attention_lse(q, k, v)
    torch.testing.assert_close(out.float(), whole.float(), atol=2e-2, rtol=2e-2)


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="outs, lses: came 1 and 0"):
        merge([torch.zeros(1, 1, 1, 1)], [])
