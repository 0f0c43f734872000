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

__all__ = ["attention_alone", "eager", "ours", "reference", "words"]

WORDS = 8  # as many maps as a user looks at


def words(case: Case) -> Tensor:
    """Which text token belongs to which word, [1, T, 8]: runs of tokens, the mean of each."""
    if case.text < WORDS:
        raise ValueError(f"text: {case.text} came; maps of {WORDS} words need as many tokens")
    of = torch.arange(case.text, device=case.device) * WORDS // case.text
    chosen = F.one_hot(of, WORDS).float()
    return (chosen / chosen.sum(0))[None]


def ours(case: Case, given: Sequence[Tensor]) -> Contender:
    """The attention call and the maps after it; the call's output is what a model goes on with."""
    weights = words(case)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, lse = attention_lse(q, k, v)
        return word_maps(q, k[:, :, : case.text], weights, lse, impl=case.kernels)

    return Contender(f"attention and word_maps ({case.kernels})", attend, tuple(given))


def reference(case: Case) -> Callable[..., Tensor]:
    """The oracle, for any precision."""
    weights = words(case)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        _, lse = oracle.attention_lse(q, k, v)
        scale = case.head_dim**-0.5
        return oracle.word_maps(q, k[:, :, : case.text], weights.to(lse), lse, None, scale)

    return attend


def attention_alone(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """The same call without maps: × ours below 1 is what recording costs."""
    name = "attention alone"
    return [Contender(name, F.scaled_dot_product_attention, tuple(given), same=False)]


def eager(case: Case, given: Sequence[Tensor]) -> list[Contender]:
    """All probabilities of all heads in memory, as processors that record maps hold them."""
    weights = words(case)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        probs = (q @ k.mT * case.head_dim**-0.5).softmax(-1)
        probs @ v
        return probs[..., : case.text].float().mean(1) @ weights

    return [Contender("eager, probabilities held", attend, tuple(given))]
