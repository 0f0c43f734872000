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

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from math import log

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Call, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns, Maps
from ..sight import Reference, Sight, Sights
from .blocks import within
from .places import Kept, Places
from .subjects import Overlap, Subject, check_subjects, scenes

__all__ = ["ReadSubjectPrompts"]


@dataclass(frozen=True, eq=False)
class ReadSubjectPrompts(Control):
    """For conditional and unconditional rows; with equal negative prompts the latter stay.

    subjects: who is where, each with its portrait.
    strength: 0 = only the scene's prompt; the paper's 0.9. In joint attention below 1.
    during, blocks, overlap, prompts, looks: as of IsolateSubjects.
    places, kept: made by bind.
    """

    subjects: tuple[Subject, ...] = ()
    strength: float = 0.9
    during: Interval = Interval()
    blocks: Interval = Interval()
    overlap: Overlap = "small-front"
    prompts: tuple[int, ...] | None = None
    looks: float = 0.2
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    places: Places | None = None
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> ReadSubjectPrompts | None:
        name = "read_subject_prompts"
        check_subjects(self.subjects, prompts, name, self.overlap, portraits=True)
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength: came {self.strength}; expected [0, 1]")
        if not self.subjects or self.strength == 0:
            return None
        chosen = scenes(self.subjects, prompts, self.prompts)
        places = Places(self.subjects, self.overlap, self.looks, chosen, prompts, name)
        return replace(self, places=places, kept=Kept())

    def acts(self, site: Site, step: Step) -> bool:
        assert self.places is not None
        if not self.places.settled and site.maps:
            return True
        holds = site.kind is not Kind.SELF and within(site, self.blocks)
        return self.places.settled and holds and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        assert self.places is not None
        return self.places.settled

    def record(self, site: Site, step: Step) -> Columns | None:
        assert self.places is not None
        return self.places.columns(site)

    def observe(self, maps: Maps, step: Step) -> None:
        """Words get their places."""
        assert self.places is not None
        self.places.observe(maps, step)

    def sees(self, call: Call) -> Sights | None:
        assert self.places is not None and self.kept is not None
        if call.site.kind is not Kind.JOINT or not self.places.settled:
            return None
        if self.strength == 1:
            raise ValueError(
                "strength: came 1; in joint attention a text cannot take the place of another one "
                "altogether, so expected less"
            )
        grid, batch = call.queries.grid, call.batch
        known = self.kept.known(grid, batch, call.texts)
        if known is not None:
            return known
        weight = torch.full((call.texts,), log(self.strength / (1 - self.strength)))
        rows = {}
        for i, labels in self._labels(call):
            references = tuple(
                Reference(source, weight=weight, labels=frozenset({number}), text=True)
                for number, source in self._sources(call, i, labels)
            )
            if references:
                rows[i] = Sight(labels, references=references)
        return self.kept.keep(grid, batch, call.texts, Sights(rows))

    def finish(self, call: Call, out: Tensor) -> Tensor:
        assert self.places is not None
        if call.site.kind is not Kind.CROSS or not self.places.settled:
            return out
        changed = None
        for i, labels in self._labels(call):
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

    def _labels(self, call: Call) -> list[tuple[int, Tensor]]:
        """(row, [N] labels) of the scenes."""
        assert self.places is not None and call.queries.grid is not None
        found = []
        for i in call.batch.select(self.rows):
            row = call.batch.rows[i]
            if row.prompt in self.places.scenes:
                labels = self.places.labels(row.prompt, row.image, call.queries.grid)
                assert labels is not None
                found.append((i, labels))
        return found

    def _sources(self, call: Call, i: int, labels: Tensor) -> list[tuple[int, int]]:
        """(label, row of the portrait) of subjects that are there."""
        return [
            (number, call.batch.beside(i, subject.portrait))
            for number, subject in enumerate(self.subjects, 1)
            if subject.portrait is not None and bool((labels == number).any())
        ]
