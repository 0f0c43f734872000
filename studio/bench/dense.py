"""Dense attention as PyTorch runs it: what a model does without us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .case import Case
from .clock import take_turns
from .contender import Contender, absent

__all__ = ["dense", "masked"]

MASKED_TOKENS = 16_384  # a mask has tokens² bytes
FASTER = 16  # as fp32 is than bf16 on CPUs without bf16 instructions, at least
BACKENDS = (
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
)

Attend = Callable[..., Tensor]


def dense(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """The fastest backend on CUDA. On a CPU half precision is also tried by way of fp32."""
    rows = _rows(given, case.dense_rows or case.tokens)
    if case.device.type == "cuda":
        return [_contender(case, *_fastest(rows, case.device), rows)]
    found = [_contender(case, "dense SDPA", F.scaled_dot_product_attention, rows)]
    if case.dtype != torch.float32:
        # Casting k and v costs the same for few rows as for all, so few would look too slow.
        more = _rows(given, case.dense_rows * FASTER or case.tokens)
        found.append(_contender(case, "dense SDPA in fp32", _in_fp32, more))
    return found


def _rows(given: Sequence[Tensor], count: int) -> tuple[Tensor, ...]:
    q, k, v = given
    return q[:, :, :count], k, v


def _contender(case: Case, name: str, attend: Attend, inputs: Sequence[Tensor]) -> Contender:
    rows = inputs[0].shape[2]
    share = rows / case.tokens
    note = "" if share == 1 else f"extrapolated from {rows} of {case.tokens} query rows"
    return Contender(name, attend, tuple(inputs), False, None, share, case.tokens**2, note)


def masked(case: Case, given: Sequence[Tensor], mask: Callable[[], Tensor]) -> Contender:
    """SDPA with a boolean mask [N, N], True = may see."""
    name = "SDPA with a mask"
    if case.tokens > MASKED_TOKENS:
        return absent(name, f"the mask of {case.tokens} tokens is too large")
    seen = mask()

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    return Contender(name, attend, tuple(given), executed=case.tokens**2)


def _in_fp32(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(q.dtype)


def _fastest(inputs: Sequence[Tensor], device: torch.device) -> tuple[str, Attend]:
    """Each backend that takes these inputs runs thrice."""
    found: list[tuple[float, str, Attend]] = []
    for backend in BACKENDS:
        attend = _on(backend)
        try:
            attend(*inputs)
        except RuntimeError:  # not built, or not for this precision or head size
            continue
        (times,) = take_turns([partial(attend, *inputs)], repetitions=3, device=device)
        found.append((median(times), backend.name.removesuffix("_ATTENTION").lower(), attend))
    if not found:
        return "dense SDPA", F.scaled_dot_product_attention
    _, name, attend = min(found, key=lambda way: way[0])
    return f"dense SDPA ({name})", attend


def _on(backend: SDPBackend) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v)

    return attend
