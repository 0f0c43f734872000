"""Edited joint attention with every probability formed, one column set after another. The oracle.

Knows nothing of the package: `edited` is the formula, `Oracle` applies it to whatever the stock
transformer hands to `F.scaled_dot_product_attention`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .dense_mode import DenseMode

__all__ = ["Oracle", "edited", "probabilities"]


def probabilities(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """[B, H, N, S]."""
    scores = q @ k.mT * q.shape[-1] ** -0.5
    if mask is not None:
        hidden = ~mask if mask.dtype is torch.bool else mask == -torch.inf
        scores = scores.masked_fill(hidden, -torch.inf) + (
            0 if mask.dtype is torch.bool else mask.masked_fill(hidden, 0)
        )
    return scores.softmax(-1)


def edited(
    source: Tensor,
    own: Tensor,
    image: slice,
    text: slice,
    *,
    matrix: Tensor | None = None,
    taken: Tensor | None = None,
    layout: bool = False,
    factor: Tensor | None = None,
) -> Tensor:
    """Maps [H, N, S] of a row: matrix [T, T], taken [T] of 0 and 1, factor [T].

    Taken columns have what the source's have by the matrix, the others share what is left in their
    own proportions; then the columns of words are weighed and rows made to sum to 1.
    """
    target = own.clone()
    rows = target[:, image]
    replaced = torch.zeros(own.shape[-1], dtype=torch.bool)
    value = torch.zeros_like(rows)
    if matrix is not None and taken is not None:
        columns = source[:, image][..., text] @ matrix.to(source)
        visible = (own[:, image][..., text] > 0).any(1).any(0)
        value[..., text] = columns * taken.to(source) * visible
        replaced[text] = taken > 0
    if layout:
        value[..., image] = source[:, image][..., image]
        replaced[image] = True
    if bool(replaced.any()):
        others = rows.masked_fill(replaced, 0)
        left = (1 - value.sum(-1, keepdim=True)).clamp(min=0)
        mass = others.sum(-1, keepdim=True)
        rows = value + torch.where(mass > 0, left * others / mass.clamp(min=1e-300), 0.0)
        rows = rows / rows.sum(-1, keepdim=True)
    if factor is not None:
        rows = rows.clone()
        rows[..., text] = rows[..., text] * factor.to(rows)
        rows = rows / rows.sum(-1, keepdim=True)
    target[:, image] = rows
    return target


@dataclass
class Oracle(DenseMode):
    """What is edited; E edits of `images` pictures, T text tokens.

    kinds: for each attention of one forward whether it is joint.   size: image tokens.
    gate:  [S, E, T]; aligned [E, T]; token_map [E, T, T]; weight [E, T]; layout: steps.
    words: [(prompt, tokens)] whose columns are kept at every joint attention.
    """

    kinds: list[bool]
    size: int
    text_first: bool
    doubled: bool
    guided: bool
    images: int = 1
    gate: Tensor | None = None
    token_map: Tensor | None = None
    aligned: Tensor | None = None
    weight: Tensor | None = None
    layout: range = range(0)
    words: tuple[tuple[int, tuple[int, ...]], ...] = ()
    maps: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict)
    calls: int = 0
    site: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    @contextmanager
    def on(self, transformer: Any) -> Iterator[None]:
        """Within it the transformer's attention is this one."""
        stock = transformer.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            self.site = 0
            with self:
                out = stock(*args, **kwargs)
            assert self.site == len(self.kinds)
            self.calls += 1
            return out

        transformer.forward = forward
        try:
            yield
        finally:
            del transformer.forward

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        joint, self.site = self.kinds[self.site], self.site + 1
        return self._edit(probabilities(q, k, mask), joint) @ v

    def _edit(self, probs: Tensor, joint: bool) -> Tensor:
        apart = self.guided and not self.doubled
        if apart and self.calls % 2:  # the unconditional call of a step comes second
            return probs
        step = self.calls // 2 if apart else self.calls
        first = len(probs.chunk(2)[0]) if self.guided and self.doubled else 0
        texts = probs.shape[-1] - self.size if joint else 0
        text = slice(0, texts) if self.text_first else slice(self.size, self.size + texts)
        image = slice(texts, None) if self.text_first and joint else slice(0, self.size)
        out = probs.clone()
        prompts = (probs.shape[0] - first) // self.images
        for e in range(prompts - 1):
            for i in range(self.images):
                row, source = first + (e + 1) * self.images + i, first + i
                keeps = step in self.layout
                if not joint:
                    out[row] = probs[source] if keeps else probs[row]
                    continue
                taken = None
                if self.token_map is not None and self.gate is not None:
                    taken = self.gate[step, e]
                    taken = taken if self.aligned is None else taken * self.aligned[e]
                out[row] = edited(
                    probs[source],
                    probs[row],
                    image,
                    text,
                    matrix=None if self.token_map is None else self.token_map[e],
                    taken=taken,
                    layout=keeps,
                    factor=None if self.weight is None else self.weight[e],
                )
        if joint:
            for prompt, tokens in self.words:
                for i in range(self.images):
                    row = first + prompt * self.images + i
                    columns = out[row][:, image][..., text][..., list(tokens)]
                    self.maps.setdefault((prompt, i), []).append(columns.mean(0).sum(-1))
        return out
