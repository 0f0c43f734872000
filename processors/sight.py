"""Which image keys, its own and those of other rows, each image query of a row sees.

With l(q) the label of a query, logits are

    q·k · scale + own[l(q), k]              for the row's own image keys, −∞ = hidden
    q·(f k') · scale + weight[k']           for keys k' of a reference that l(q) sees

and all of them share one softmax with whatever else the row has for keys (text). What a query sees
depends on its label alone, so a row is computed label by label over gathered keys: no mask and no
scores of N x (S + 1) N are formed, and hidden pairs cost nothing.

Sights of several controls on one row join: weights add up, references follow one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Group", "Reference", "Sight", "Sights", "joined"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Keys and values of another row; its tensors are on the CPU.

    row:    whose they are.
    keys:   [K] int64, positions among its image tokens, or its text tokens; None = all.
    weight: [K] fp32, in nats; None = zeros.
    labels: of the queries that see them; None = every query.
    factor: f, of the keys.
    moved:  [K, 2] fp32, rows and columns by which keys move where attention knows places.
    text:   whether they are the row's text keys.
    """

    row: int
    keys: Tensor | None = None
    weight: Tensor | None = None
    labels: frozenset[int] | None = None
    factor: float = 1.0
    moved: Tensor | None = None
    text: bool = False

    def like(self, place: torch.device) -> Reference:
        """The same on a device."""
        keys, weight, moved = (
            None if x is None else x.to(place) for x in (self.keys, self.weight, self.moved)
        )
        return replace(self, keys=keys, weight=weight, moved=moved)


@dataclass(frozen=True, eq=False)
class Sight:
    """What the image queries of one row see; without arguments what they see anyway.

    labels: [N] int64 of the queries; None = all are 0.
    own:    [L, N] fp32, nats for the row's own image keys, a line a label; None = zeros.
    """

    labels: Tensor | None = None
    own: Tensor | None = None
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, eq=False)
class Sights:
    """The rows of a call that see otherwise than by themselves.

    The same object means the same sights: what the engine makes of it stays.
    """

    rows: Mapping[int, Sight]


@dataclass(frozen=True, eq=False)
class Group:
    """Image queries of a row that see the same keys.

    queries: [M] int64; None = all.
    own:     [K] int64, own image keys that they see; None = all.
    weight:  [K] fp32 of these; None = zeros.
    """

    queries: Tensor | None
    own: Tensor | None
    weight: Tensor | None
    references: tuple[Reference, ...]

    @property
    def plain(self) -> bool:
        """Whether it is the ordinary attention."""
        return self.own is None and self.weight is None and not self.references


def joined(sights: Sequence[Sight], size: int, place: torch.device) -> tuple[Group, ...]:
    """The groups of a row of `size` image tokens, none empty.

    A query that would see no image at all, neither its own nor a reference, sees all its own.
    """
    none = torch.zeros(size, dtype=torch.int64)
    labels = torch.stack([none if s.labels is None else s.labels for s in sights], 1)
    words, of = labels.unique(dim=0, return_inverse=True)
    groups = []
    for i, word in enumerate(words.tolist()):
        own, references = torch.zeros(size), []
        for sight, label in zip(sights, word, strict=True):
            own = own if sight.own is None else own + sight.own[label]
            references += [
                reference.like(place)
                for reference in sight.references
                if (reference.labels is None or label in reference.labels)
                and (reference.keys is None or len(reference.keys))
            ]
        seen = own > -torch.inf
        if not bool(seen.any()) and not any(not reference.text for reference in references):
            own, seen = torch.zeros(size), torch.ones(size, dtype=torch.bool)
        weight = own[seen]
        groups.append(
            Group(
                None if len(words) == 1 else (of == i).nonzero()[:, 0].to(place),
                None if bool(seen.all()) else seen.nonzero()[:, 0].to(place),
                weight.to(place) if bool(weight.any()) else None,
                tuple(references),
            )
        )
    return tuple(groups)
