"""The processor of a UNet's `Attention`: projections here, the attention itself in the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..call import Segments, Site
from ..tensors import Looks, pick
from .family import Live

__all__ = ["UNetAttention"]


class UNetAttention:
    """Stands in for AttnProcessor2_0, which it calls wherever no control acts.

    Every parameter is spelled out: diffusers passes on only what the signature names.
    Differs: AttnProcessor's up-casting options are those of AttnProcessor2_0 where a control acts.
    """

    _attention_backend: Any = None
    _parallel_config: Any = None

    def __init__(self, site: Site, live: Live, replaced: Any) -> None:
        self.site = site
        self.live = live
        self.replaced = replaced
        self.adopt(replaced)

    def adopt(self, replaced: Any) -> None:
        """Takes over what diffusers has set on the processor that stood here."""
        self._attention_backend = getattr(replaced, "_attention_backend", None)
        self._parallel_config = getattr(replaced, "_parallel_config", None)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """hidden_states [B, N, C] or [B, C, h, w]; encoder_hidden_states [B, T, C'] or None."""
        residual = hidden_states
        hidden_states, encoder_hidden_states = self.live.states(
            self.site, hidden_states, encoder_hidden_states
        )
        if not self.live.acts(self.site):
            return self.replaced(
                attn,
                hidden_states,
                encoder_hidden_states=encoder_hidden_states,
                attention_mask=attention_mask,
                temb=temb,
            )
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        shape = hidden_states.shape
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)

        for_keys = for_values = hidden_states
        if encoder_hidden_states is not None:
            if attn.norm_cross:
                encoder_hidden_states = attn.norm_encoder_hidden_states(encoder_hidden_states)
            context = self.live.context(self.site, encoder_hidden_states)
            for_keys, for_values = context.k, context.v
        tensors = _Projected(attn, hidden_states, for_keys, for_values)

        rows, size = for_keys.shape[:2]
        bias = attention_mask
        if bias is not None:
            bias = attn.prepare_attention_mask(bias, size, rows)
            bias = bias.view(rows, attn.heads, -1, bias.shape[-1])
        grid = self.site.grid(self.live.latents)
        keys = queries = Segments(image=slice(0, tensors.queries), grid=grid)
        if encoder_hidden_states is not None:
            keys = Segments(text=slice(0, size))
        out = self.live.attend(self.site, tensors, queries=queries, keys=keys, bias=bias)

        hidden_states = out.transpose(1, 2).flatten(2).to(tensors.v.dtype)
        hidden_states = attn.to_out[1](attn.to_out[0](hidden_states))
        if len(shape) == 4:
            hidden_states = hidden_states.transpose(-1, -2).reshape(shape)
        if attn.residual_connection:
            hidden_states = hidden_states + residual
        return hidden_states / attn.rescale_output_factor


class _Projected:
    """`Tensors` of an `Attention` module: q and k of a row when they are asked for."""

    def __init__(self, attn: Any, hidden: Tensor, for_keys: Tensor, for_values: Tensor) -> None:
        self._attn = attn
        self._hidden = hidden
        self._for_keys = for_keys
        self._looks: Looks | None = None
        self.v = self._heads(attn.to_v(for_values))

    @property
    def queries(self) -> int:
        return self._hidden.shape[1]

    def looks(self, rows: Sequence[int]) -> Looks:
        known = self._looks
        if known is not None and set(rows) <= set(known.rows):
            return known
        attn = self._attn
        q = self._heads(attn.to_q(pick(self._hidden, rows)))
        k = self._heads(attn.to_k(pick(self._for_keys, rows)))
        q = q if attn.norm_q is None else attn.norm_q(q)
        k = k if attn.norm_k is None else attn.norm_k(k)
        self._looks = Looks(tuple(rows), q, k)
        return self._looks

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self._attn.heads, -1)).transpose(1, 2)
