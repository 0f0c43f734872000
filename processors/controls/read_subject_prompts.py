"""Mutual cross-attention: where a subject is, the prompt of its portrait is read too.

DreamStory, He et al. 2024 (arXiv:2407.12899), masked mutual cross-attention, as IR-Diffusion
(arXiv:2411.19261) has it on. With U the scene's output and U_i that of its queries over the text
keys of subject i's portrait, in the tokens of subject i:

    O = (1 − strength) U + strength U_i

The paper's sum stands after the output projection, which is affine: before it is the same.

ours: in joint attention, where text and image share one softmax, the portrait's text keys are seen
by the subject's tokens beside the scene's, with log(strength / (1 − strength)) nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Call, Kind
from ..control import Prompts
from ..sight import Reference, Sight, Sights
from .subject_control import SubjectControl

__all__ = ["ReadSubjectPrompts"]


@dataclass(frozen=True, eq=False)
class ReadSubjectPrompts(SubjectControl):
    """Subjects have portraits; with equal negative prompts unconditional rows stay.

    strength: 0 = only the scene's prompt; the paper's 0.9. In joint attention below 1.
    """

    away: ClassVar[Kind] = Kind.SELF

    strength: float = 0.9

    def bind(self, prompts: Prompts) -> ReadSubjectPrompts | None:
        self.check(prompts, "read_subject_prompts", portraits=True)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength: came {self.strength}; expected [0, 1]")
        if not self.subjects or self.strength == 0:
            return None
        return self.placed(prompts, "read_subject_prompts")

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None
        if call.site.kind is not Kind.JOINT or not self.settled:
            return None
        if self.strength == 1:
            raise ValueError(
                "strength: came 1; in joint attention a text cannot take the place of another one "
                "altogether, so expected less"
            )

        def made() -> dict[int, Sight]:
            weight = torch.full((call.texts,), log(self.strength / (1 - self.strength)))
            rows = {}
            for i, labels in self.labelled(call):
                references = tuple(
                    Reference(source, weight=weight, labels=frozenset({number}), text=True)
                    for number, source in self._sources(call, i, labels)
                )
                if references:
                    rows[i] = Sight(labels, references=references)
            return rows

        return self.kept.sights(call, call.texts, made)

    def finish(self, call: Call, out: Tensor) -> Tensor:
        if call.site.kind is not Kind.CROSS or not self.settled:
            return out
        changed = None
        for i, labels in self.labelled(call):
            for number, source in self._sources(call, i, labels):
                own = (labels == number).nonzero()[:, 0].to(call.device)
                looks = call.looks(range(call.shape[0]))
                q, _ = looks.of([i])
                _, k = looks.of([source])
                v = call.v[source : source + 1]
                limit = call.bias
                if limit is not None:
                    limit = limit if len(limit) == 1 else limit[source : source + 1]
                    limit = limit if limit.shape[2] == 1 else limit[:, :, own]
                read = F.scaled_dot_product_attention(
                    q[:, :, own], k, v, attn_mask=limit, scale=call.scale
                )
                changed = out.clone() if changed is None else changed
                changed[i, :, own] = torch.lerp(changed[i, :, own], read[0], self.strength)
        return out if changed is None else changed

    def notes(self) -> tuple[str, ...]:
        """For the receipt: whose prompt was read."""
        assert self.places is not None
        return self.places.notes("read_subject_prompts read the portrait's prompt for")

    def _sources(self, call: Call, i: int, labels: Tensor) -> list[tuple[int, int]]:
        """(label, row of the portrait) of subjects that are there."""
        return [
            (number, call.batch.beside(i, subject.portrait))
            for number, subject in enumerate(self.subjects, 1)
            if subject.portrait is not None and bool((labels == number).any())
        ]
