"""What the processors of joint attention share: they stand in for the stock one, and call it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..call import Segments, Site
from ..tensors import Given
from .family import Live

__all__ = ["JointProcessor"]


class JointProcessor:
    """Families spell out `__call__`, since diffusers passes on only what a signature names.

    A backend that diffusers sets here is the replaced processor's and runs wherever no control
    acts; where one does, the engine chooses its own kernels.
    """

    def __init__(self, site: Site, live: Live, replaced: Any) -> None:
        self.site = site
        self.live = live
        self.replaced = replaced

    @property
    def _attention_backend(self) -> Any:
        return self.replaced._attention_backend  # an AttributeError where the stock one has none

    @_attention_backend.setter
    def _attention_backend(self, backend: Any) -> None:
        self.replaced._attention_backend = backend

    @property
    def _parallel_config(self) -> Any:
        return self.replaced._parallel_config

    @_parallel_config.setter
    def _parallel_config(self, config: Any) -> None:
        self.replaced._parallel_config = config

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        texts: int,
        text_first: bool,
        mask: Tensor | None = None,
    ) -> Tensor:
        """[B, N, H·D] of q, k, v [B, H, N, D]; mask True = may see, or what is added to scores.

        After text and latents, in whichever order, come tokens of reference pictures if any.
        """
        q, k, v = (_within_autocast(x) for x in (q, k, v))
        height, width = grid = self.site.grid(self.live.latents)
        size, total = height * width, q.shape[2]
        if texts + size > total:
            raise ValueError(
                f"latents: {self.site.name} got {total} tokens; expected {texts} of text and "
                f"{height} x {width} of the latents"
            )
        first, second = (texts, size) if text_first else (size, texts)
        parts = slice(0, first), slice(first, first + second)
        text, image = parts if text_first else parts[::-1]
        reference = slice(texts + size, total) if texts + size < total else None
        segments = Segments(image, text if texts else None, reference, grid=grid)
        bias = None if mask is None else _additive(mask, q)
        out = self.live.attend(
            self.site, Given(q, k, v), queries=segments, keys=segments, bias=bias
        )
        return out.transpose(1, 2).flatten(2).to(q.dtype)


def _within_autocast(x: Tensor) -> Tensor:
    """In the numbers that autocast gives attention; its norms and rotations come out in fp32."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """[B, H or 1, N or 1, S]."""
    if mask.dtype is torch.bool:
        mask = torch.zeros_like(mask, dtype=like.dtype).masked_fill(~mask, -torch.inf)
    return mask.expand(like.shape[0], *mask.shape[1:])
