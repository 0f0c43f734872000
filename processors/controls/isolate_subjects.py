"""Isolation: in a picture of several subjects none looks at another one.

IR-Diffusion, He et al. 2024 (arXiv:2411.19261), isolation attention, as its code has it. With l the
label map of the scene, 0 where nobody is, for image queries q and image keys k of the scene:

    q sees k unless  l(q) > 0  and  l(k) > 0  and  l(q) ≠ l(k)

in every self-attention, for conditional and unconditional rows. What is nobody's sees all and is
seen by all, so subjects still meet there, layer by layer. Text keys are not concerned.

ours: `soft` puts −soft on those scores instead of hiding them, and `during` may end early, so that
shadows and held hands can form; exclusive labels (subjects.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..call import Call, Kind
from ..control import Prompts
from ..sight import Sight, Sights
from .subject_control import SubjectControl

__all__ = ["IsolateSubjects"]


@dataclass(frozen=True, eq=False)
class IsolateSubjects(SubjectControl):
    """With one subject there is nothing to do; before words have a place nothing is isolated.

    soft: nats taken from scores between subjects; None = they are hidden.
    """

    away: ClassVar[Kind] = Kind.CROSS

    soft: float | None = None

    def bind(self, prompts: Prompts) -> IsolateSubjects | None:
        self.check(prompts, "isolate_subjects", portraits=False)
        if self.soft is not None and not self.soft >= 0:
            raise ValueError(f"soft: came {self.soft}; expected 0 nats or more, or None")
        if len(self.subjects) < 2 or self.soft == 0:
            return None
        return self.placed(prompts, "isolate_subjects")

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None
        if call.site.kind is self.away or not self.settled:
            return None

        def made() -> dict[int, Sight]:
            return {
                i: Sight(labels, self._between(labels))
                for i, labels in self.labelled(call)
                if len(labels[labels > 0].unique()) > 1
            }

        return self.kept.sights(call, None, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt: whom it kept apart, and whom it could not."""
        assert self.places is not None
        return self.places.notes("isolate_subjects kept apart")

    def _between(self, labels: Tensor) -> Tensor:
        """[S + 1, N], nats."""
        of = torch.arange(len(self.subjects) + 1)[:, None]
        apart = (of > 0) & (labels > 0) & (of != labels)
        less = torch.inf if self.soft is None else self.soft
        return torch.zeros(apart.shape).masked_fill(apart, -less)
