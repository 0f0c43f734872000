"""Prompt-to-Prompt as its authors wrote it: every map formed, edited and multiplied. The oracle.

Knows nothing of the package: rows are [uncond; cond], the step is what the test's callback says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["Dense", "Plan"]


@dataclass
class Plan:
    """What is edited; E edits, N tokens.

    gate:   [S, E, N], open or shut in each step.    token_map [E, N, N], aligned [E, N].
    weight: [E, N].    layout: steps in which self maps are the source's.
    words:  [(prompt, tokens)] whose maps are summed at cross layers of the largest grid.
    """

    guided: bool
    images: int = 1
    gate: Tensor | None = None
    token_map: Tensor | None = None
    aligned: Tensor | None = None
    weight: Tensor | None = None
    layout: range = range(0)
    words: tuple[tuple[int, tuple[int, ...]], ...] = ()
    step: int = 0
    maps: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict)

    def edited(self, probs: Tensor, cross: bool) -> Tensor:
        """[B, H, N, S] after the edit."""
        first = len(probs.chunk(2)[0]) if self.guided else 0
        by_prompt = probs[first:].unflatten(0, (-1, self.images))  # [P, n, H, N, S]
        source, edits = by_prompt[0], by_prompt[1:].clone()
        for e in range(edits.shape[0]):
            if cross and self.token_map is not None and self.gate is not None:
                new = source @ self.token_map[e].to(source)
                if self.aligned is not None:
                    al = self.aligned[e].to(source)
                    new = new * al + edits[e] * (1 - al)
                gate = self.gate[self.step, e].to(source)
                edits[e] = new * gate + edits[e] * (1 - gate)
            if cross and self.weight is not None:
                edits[e] = edits[e] * self.weight[e].to(source)
            if not cross and self.step in self.layout:
                edits[e] = source
        out = torch.cat([probs[:first], source, edits.flatten(0, 1)])
        if cross:
            for prompt, tokens in self.words:
                for image in range(self.images):
                    row = first + prompt * self.images + image
                    columns = out[row].mean(0)[:, list(tokens)].sum(-1)
                    self.maps.setdefault((prompt, image), []).append(columns)
        return out


class Dense:
    """An attention processor with an explicit softmax."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        cross = encoder_hidden_states is not None
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probs = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        out = self.plan.edited(probs, cross) @ v
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
