"""FlexAttention with any mask, compiled, its block mask built in pieces that fit any memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from .case import Case
from .contender import Contender, absent

__all__ = ["Rule", "block_mask", "flex"]

BLOCK = 128
CPU_TOKENS = 8192  # beyond, a CPU takes minutes

Rule = Callable[[Tensor, Tensor], Tensor]
"""rule(i, j): whether query i sees key j, for whole-number tensors that broadcast."""


def flex(
    name: str,
    case: Case,
    inputs: Sequence[Tensor],
    rule: Rule,
    *,
    restore: Tensor | None = None,
    note: str = "",
) -> Contender:
    """FlexAttention under rule, over the tokens as inputs have them."""
    if case.device.type == "cpu" and case.tokens > CPU_TOKENS:
        return absent(name, f"more than {CPU_TOKENS} tokens take too long on a CPU")
    if case.device.type == "cpu" and case.backward:
        return absent(name, "FlexAttention has no backward pass on a CPU")
    mask, executed = block_mask(rule, case.tokens, case.device)
    compiled: Any = torch.compile(flex_attention, dynamic=False)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = compiled(q, k, v, block_mask=mask)
        return out

    return Contender(name, attend, tuple(inputs), restore=restore, executed=executed, note=note)


def block_mask(rule: Rule, tokens: int, device: torch.device) -> tuple[BlockMask, int]:
    """The block mask of blocks of 128 × 128, and how many pairs its blocks hold."""
    blocks = -(-tokens // BLOCK)
    j = torch.arange(tokens, device=device)
    counts = []
    for start in range(0, tokens, BLOCK):
        i = j[start : start + BLOCK]
        seen = rule(i[:, None], j[None, :]).sum(0)
        padded = torch.nn.functional.pad(seen, (0, blocks * BLOCK - tokens))
        counts.append(padded.view(blocks, BLOCK).sum(1))
    count = torch.stack(counts)
    whole = count == BLOCK**2
    part = (count > 0) & ~whole

    def listed(kind: Tensor) -> tuple[Tensor, Tensor]:
        order = kind.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        return kind.sum(1).int()[None, None], order.int()[None, None]

    mask = BlockMask.from_kv_blocks(
        *listed(part),
        *listed(whole),
        BLOCK_SIZE=BLOCK,
        mask_mod=lambda b, h, i, j: rule(i, j),
        seq_lengths=(tokens, tokens),
    )
    return mask, int((count > 0).sum()) * BLOCK**2
