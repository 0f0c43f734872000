"""Attention with its softmax written out, every map in memory: how yardsticks do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from ..processors.call import Site
from ..processors.families import family_of

__all__ = ["Change", "formed"]

Change: TypeAlias = Callable[[Tensor, Site], Tensor]
"""From the map [B, H, N, M] of a site to the one it shall use."""


@dataclass(frozen=True)
class _Formed:
    """The attention of a UNet's transformer block."""

    change: Change
    site: Site

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probs = self.change((q @ k.mT * attn.scale).softmax(-1), self.site)
        out = (probs @ v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


@contextmanager
def formed(pipe: Any, change: Change) -> Iterator[None]:
    """Runs the calls within the block that way; the processors are put back."""
    family = family_of(pipe)
    sites = family.sites(family.denoiser(pipe))
    before = [(module, module.processor) for module, _ in sites]
    try:
        for module, site in sites:
            module.set_processor(_Formed(change, site))
        yield
    finally:
        for module, processor in before:
            module.set_processor(processor)
