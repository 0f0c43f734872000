"""Prompt-to-Prompt the way the authors' code does it: every map of every layer formed and edited.

Hertz et al. 2022 (arXiv:2208.01626); replacement and the source's layout. It is what ours must
equal, and what one pays without fused kernels. Knows one source, one edit and guidance in one
batch: rows are [uncond source, uncond edit, source, edit].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..processors.families import family_of

__all__ = ["Method", "official"]


@dataclass
class Method:
    """token_map [N, N]; the first `cross` and `layout` steps are steered, layouts up to max_side.

    count: steps made so far; the call's `callback_on_step_end` is `stepped`.
    """

    token_map: Tensor
    cross: int
    layout: int
    max_side: int = 32
    count: int = field(default=0, init=False)

    def stepped(self, _pipe: object, step: int, _t: object, given: dict[str, Any]) -> Any:
        self.count = step + 1
        return given


@dataclass(frozen=True)
class _Formed:
    """The attention of a transformer block, with its softmax written out."""

    method: Method
    small: bool

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        cross = encoder_hidden_states is not None
        context = encoder_hidden_states if cross else hidden_states
        q, k, v = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probs = (q @ k.mT * attn.scale).softmax(-1)
        method = self.method
        if cross and method.count < method.cross:
            probs[3] = probs[2] @ method.token_map.to(probs)
        elif not cross and self.small and method.count < method.layout:
            probs[3] = probs[2]
        out = (probs @ v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


@contextmanager
def official(pipe: Any, method: Method) -> Iterator[None]:
    """Runs the calls within the block that way; the processors are put back."""
    family = family_of(pipe)
    sites = family.sites(family.denoiser(pipe))
    before = [(module, module.processor) for module, _ in sites]
    method.count = 0
    try:
        for module, site in sites:
            module.set_processor(_Formed(method, site.side <= method.max_side))
        yield
    finally:
        for module, processor in before:
            module.set_processor(processor)
