"""A wrong result is never timed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from attention_studio.bench import Case
from attention_studio.bench.contender import Contender
from attention_studio.bench.gate import worst_error, wrong

CPU = torch.device("cpu")


def error(case: Case, attend, *, backward: bool = False, **more: object) -> float:  # type: ignore[no-untyped-def]
    given = case.inputs()
    contender = Contender("it", attend, given, **more)  # type: ignore[arg-type]
    return worst_error(contender, F.scaled_dot_product_attention, given, backward=backward)


def test_a_right_result_passes(case: Case) -> None:
    found = error(case, F.scaled_dot_product_attention, backward=True)
    assert 0 < found < 2e-6 and wrong(found, CPU, torch.float32) == ""


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_wrong_one_is_refused(case: Case, factor: float) -> None:
    found = error(case, lambda q, k, v: factor * F.scaled_dot_product_attention(q, k, v))
    assert wrong(found, CPU, torch.float32).startswith("refused: differs from the reference by")


def test_a_wrong_gradient_is_refused(case: Case) -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = q + 0.1 * (q - q.detach())
        return F.scaled_dot_product_attention(q, k, v)

    assert not wrong(error(case, attend), CPU, torch.float32)
    assert wrong(error(case, attend, backward=True), CPU, torch.float32)


def test_another_order_of_tokens_is_brought_back(case: Case) -> None:
    given = case.inputs()
    order = torch.randperm(case.tokens)
    moved = tuple(x[:, :, order] for x in given)
    right = Contender("it", F.scaled_dot_product_attention, moved, restore=order.argsort())
    for backward in (False, True):
        assert worst_error(right, F.scaled_dot_product_attention, given, backward=backward) < 2e-6
    lost = Contender("it", F.scaled_dot_product_attention, moved)
    assert worst_error(lost, F.scaled_dot_product_attention, given, backward=False) > 0.1


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_half_precision_has_room_for_its_rounding_only(
    case: Case, dtype: torch.dtype, limit: float
) -> None:
    exact = F.scaled_dot_product_attention
    given = tuple(x.to(dtype) for x in case.inputs())
    rounded = Contender(
        "it", lambda q, k, v: exact(q.float(), k.float(), v.float()).to(dtype), given
    )
    assert limit / 50 < worst_error(rounded, exact, given, backward=False) < limit
