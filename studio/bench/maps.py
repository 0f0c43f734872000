"""Word maps beside the attention call: what recording costs, and what it costs the eager way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  as everybody writes it
from torch import Tensor

from ..kernels.maps import attention_lse, word_maps
from ..kernels.maps import reference as oracle
from .case import Case
from .contender import Contender
from .rows import Row

__all__ = ["attention_alone", "cost", "eager", "ours", "reference", "words"]

WORDS = 8  # as many maps as a user looks at
HELD = 2**25  # probabilities that the eager way may hold: 128 MiB of fp32
ALONE = "attention alone"


def words(case: Case) -> Tensor:
    """Which of the first text tokens belong to which word, [1, 16, 8]: the mean of two, or of one.

    A word is one to three tokens, and only the columns of words are read.
    """
    if case.text < WORDS:
        raise ValueError(f"text: {case.text} came; maps of {WORDS} words need as many tokens")
    each = min(2, case.text // WORDS)
    return torch.eye(WORDS, device=case.device).repeat_interleave(each, 0)[None] / each


def ours(case: Case, given: Sequence[Tensor]) -> Contender:
    """The attention call and the maps after it; the call's output is what a model goes on with."""
    weights = words(case)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, lse = attention_lse(q, k, v)
        return word_maps(q, k[:, :, : weights.shape[1]], weights, lse, impl=case.kernels)

    return Contender(f"attention and word_maps ({case.kernels})", attend, tuple(given))


def reference(case: Case) -> Callable[..., Tensor]:
    """The oracle, for any precision."""
    weights = words(case)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, lse = oracle.attention_lse(q, k, v)
        scale = case.head_dim**-0.5
        return oracle.word_maps(q, k[:, :, : weights.shape[1]], weights.to(lse), lse, None, scale)

    return attend


def attention_alone(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """The same call without maps: × ours below 1 is what recording costs."""
    return [Contender(ALONE, F.scaled_dot_product_attention, tuple(given), same=False)]


def eager(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """All probabilities of all heads in memory, as processors that record maps hold them.

    Where that would be more than HELD numbers, of as many query rows as hold no more.
    """
    weights = words(case)
    columns = case.batch * case.heads * case.tokens
    rows = min(case.tokens, max(1, HELD // columns))
    share = rows / case.tokens
    note = f"extrapolated from {rows} of {case.tokens} query rows" if share < 1 else ""
    q, k, v = given

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        probs = (q @ k.mT * case.head_dim**-0.5).softmax(-1)
        probs @ v
        return probs[..., : weights.shape[1]].float().mean(1) @ weights

    few = q[:, :, :rows], k, v
    return [Contender("eager, probabilities held", attend, few, share=share, note=note)]


def cost(case: Case, rows: Sequence[Row]) -> str:
    """What recording costs beyond the attention call, and what a layer keeps. rows: ours first."""
    kept = case.batch * case.tokens * WORDS * 4  # out is fp32
    said = [f"keeps {kept / 2**20:.3g} MiB a layer"]
    alone = next((row for row in rows if row.implementation == ALONE), None)
    if alone is not None and alone.times_ours is not None:
        said.insert(0, f"{1 / alone.times_ours - 1:+.1%} time on top of {ALONE}")
        if rows[0].extra_mib is not None and alone.extra_mib is not None:
            said.insert(1, f"{rows[0].extra_mib - alone.extra_mib:+.3g} MiB at the peak")
    return ", ".join(said)
