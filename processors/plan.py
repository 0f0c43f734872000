"""A mix made ready to run: which rows look at all, and what the words' columns are made of.

Rows that are the ordinary attention are one fused call on the stock pipeline's own tensors, and
so keep its bits; the terms of all other rows are a second one. What both need is on the call's
device, and stays while neither the controls' phase nor the call's shape changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .call import Call, Site
from .control import Control
from .mix import Mix, Term
from .recorder import Word
from .sight import Group, Sights, joined

__all__ = ["Plan", "Plans", "Reading", "Seen", "Share", "Wanted", "wanted_words"]

P = TypeVar("P")

Seen = dict[int, tuple[Group, ...]]
"""For each row that sees by label, its groups."""

Wanted = dict[tuple[int, bool], dict[Word, list[Control]]]
"""For each row, and whether after the edits: the words to read and who wants them."""


@dataclass(frozen=True, eq=False)
class Share:
    """What one term adds to the maps of words: chosen keys [T] and their weights [T, W]."""

    term: Term
    keys: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """Words to read from the map of a row.

    edited: whether from the map that acts, or from the row's own.
    owners: for each word the controls that want it.
    select: [S, W], 1 where a key is a token of the word.
    """

    row: int
    edited: bool
    words: tuple[Word, ...]
    owners: tuple[tuple[Control, ...], ...]
    select: Tensor
    shares: tuple[Share, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows and terms of one call.

    plain: rows of the ordinary attention.
    mixed: the other rows; idle ones are neither.
    terms: (row, term) of the mixed ones, the first of every row before the second of any.
    looks: rows whose queries and keys are used, in ascending order.
    """

    mix: Mix
    plain: tuple[int, ...]
    mixed: tuple[int, ...]
    terms: tuple[tuple[int, Term], ...]
    looks: tuple[int, ...]
    readings: tuple[Reading, ...]

    def without(self, rows: Collection[int]) -> Plan:
        """The plan for the other rows; the mix of all is kept."""
        return replace(
            self,
            plain=tuple(row for row in self.plain if row not in rows),
            mixed=tuple(row for row in self.mixed if row not in rows),
            terms=tuple((row, term) for row, term in self.terms if row not in rows),
        )

    @classmethod
    def of(cls, call: Call, controls: Sequence[Control]) -> Plan:
        """Asks the controls for their mix and their words."""
        rows, _, _, size = call.shape
        mix = Mix.own(rows)
        for control in controls:
            mix = control.mix(call, mix)
        mix = mix.merged(size)
        active = range(call.batch.idle, rows)
        plain = tuple(row for row in active if mix.is_plain(row))
        mixed = tuple(row for row in active if row not in plain)
        on_device = {row: tuple(term.like(call.v) for term in mix.rows[row]) for row in mixed}
        longest = max((len(terms) for terms in on_device.values()), default=0)
        readings = tuple(_readings(call, controls, mix))
        used = {term.row for row in active for term in mix.rows[row]}
        used |= {share.term.row for reading in readings for share in reading.shares}
        return cls(
            mix=mix,
            plain=plain,
            mixed=mixed,
            terms=tuple(
                (row, terms[i])
                for i in range(longest)
                for row, terms in on_device.items()
                if i < len(terms)
            ),
            looks=tuple(sorted(used)),
            readings=readings,
        )


class Plans:
    """The last plan of each site, and the last groups of each grid that sees by label."""

    def __init__(self) -> None:
        self._last: dict[Site, tuple[Hashable, Any]] = {}
        self._seen: dict[Hashable, tuple[tuple[Sights, ...], Seen]] = {}

    def of(
        self,
        call: Call,
        controls: Sequence[Control],
        make: Callable[[Call, Sequence[Control]], P],
    ) -> P:
        """The plan for a call under these controls, made anew when anything changed."""
        phases = tuple(control.phase(call.step) for control in controls)
        key = (tuple(controls), phases, call.batch, call.shape, call.v.dtype, call.device)
        known = self._last.get(call.site)
        if known is None or known[0] != key:
            known = self._last[call.site] = (key, make(call, controls))
        plan: P = known[1]
        return plan

    def seen(self, call: Call, controls: Sequence[Control]) -> Seen:
        """The groups of every row that sees by label, made anew when a control's sights are."""
        asked = (control.sees(call) for control in controls if control.overrides("sees"))
        given = tuple(sights for sights in asked if sights is not None)
        if not given:
            return {}
        image = call.queries.image
        if image is None:
            raise ValueError(f"site: {call.site.name} has no image tokens that could see otherwise")
        place = (call.queries.grid, call.batch, call.device)
        known = self._seen.get(place)
        if known is None or known[0] != given:
            rows = sorted({row for sights in given for row in sights.rows})
            groups = {
                row: joined(
                    [sights.rows[row] for sights in given if row in sights.rows],
                    image.stop - image.start,
                    call.device,
                )
                for row in rows
            }
            known = self._seen[place] = (given, groups)
        return known[1]


def wanted_words(call: Call, controls: Sequence[Control]) -> Wanted:
    """What the controls want to record at this call."""
    wanted: Wanted = {}
    for control in controls:
        wish = control.record(call.site, call.step)
        if wish is None:
            continue
        for row in call.batch.cond:
            for word in wish.words:
                if word.prompt == call.batch.rows[row].prompt:
                    of_row = wanted.setdefault((row, wish.edited), {})
                    of_row.setdefault(word, []).append(control)
    return wanted


def _readings(call: Call, controls: Sequence[Control], mix: Mix) -> list[Reading]:
    found = []
    for (row, edited), owners in wanted_words(call, controls).items():
        select = torch.zeros(call.shape[3], len(owners))
        for i, word in enumerate(owners):
            select[list(word.tokens), i] = 1.0
        shares = []
        for term in mix.rows[row] if edited else (Term(row),):
            weights = term.apply(select)
            keys = weights.any(1).nonzero().squeeze(1)
            if len(keys):
                place = call.device
                shares.append(Share(term, keys.to(place), weights[keys].to(place)))
        found.append(
            Reading(
                row,
                edited,
                tuple(owners),
                tuple(map(tuple, owners.values())),
                select.to(call.device),
                tuple(shares),
            )
        )
    return found
