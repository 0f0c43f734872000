"""Edited joint attention made ready to run: which keys each part of a row looks at.

Keys of the source that give (M c has mass there) make one attention, the row's own keys that are
neither taken nor hidden another; keys that give or get nothing are left out, not masked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from .call import Call
from .control import Control
from .joint import JointMix, JointRow
from .plan import wanted_words
from .recorder import Word

__all__ = ["JointEdit", "JointPlan", "JointReading", "Keys", "Level", "Part"]

Keys = slice | Tensor
"""Positions on the axis of keys: a slice where they follow one another, else their numbers."""


class Level(Enum):
    """What normalises a column: the row's own log-sum-exp, or that of a part of an edited row."""

    ROW = "row"
    TAKEN = "taken"
    KEPT = "kept"


@dataclass(frozen=True, eq=False)
class JointEdit:
    """One row whose image queries are edited; tensors on the call's device.

    source:    the row that gives; None = nothing is taken.
    giving:    keys of the source that give, text and image; None = none.
    values:    M diag(c) with rows that sum to 1, [text keys that give, T]; None = the identity.
    layout:    whether image keys give too, each the row's own value.
    weight:    log of the sums of M c, [giving]; None = zeros.
    unweighed: the keys and the log of the sums of M alone; None = c is 1 where something is taken.
    kept:      own keys of the other columns; None = there are none.
    bias:      log c of them; None = zeros.
    changed:   own text keys whose c is not 1, and 1 − c; None = none.
    """

    row: int
    source: int | None
    giving: Keys | None
    values: Tensor | None
    layout: bool
    weight: Tensor | None
    unweighed: tuple[Keys | None, Tensor | None] | None
    kept: Keys | None
    bias: Tensor | None
    changed: tuple[Tensor, Tensor] | None


@dataclass(frozen=True, eq=False)
class Part:
    """Columns of words: the row that is looked by, chosen keys [T'], their weights [T', W]."""

    level: Level
    looked: int
    keys: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class JointReading:
    """Words to read from the image queries of a row; owners: for each word who wants it."""

    row: int
    words: tuple[Word, ...]
    owners: tuple[tuple[Control, ...], ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class JointPlan:
    """Rows of one call but the idle: ordinary ones, edited ones, and what is read of either.

    by_texts: what is read from the text queries, of rows as they are.
    measured: rows whose own log-sum-exp is needed.
    """

    plain: tuple[int, ...]
    edits: tuple[JointEdit, ...]
    readings: tuple[JointReading, ...]
    by_texts: tuple[JointReading, ...]
    measured: tuple[int, ...]

    def without(self, rows: Collection[int]) -> JointPlan:
        """The plan without what makes these rows; what is read of them stays."""
        return replace(
            self,
            plain=tuple(row for row in self.plain if row not in rows),
            edits=tuple(edit for edit in self.edits if edit.row not in rows),
        )

    @classmethod
    def of(cls, call: Call, controls: Sequence[Control]) -> JointPlan:
        """Asks the controls for their mix and their words."""
        rows = call.shape[0]
        mix = JointMix.own(rows, call.texts)
        for control in controls:
            mix = control.mix(call, mix)
        active = range(call.batch.idle, rows)
        plain = tuple(row for row in active if mix.rows[row].plain)
        edits = tuple(_edit(call, row, mix.rows[row]) for row in active if row not in plain)
        readings = tuple(_readings(call, controls, mix))
        measured = {e.source for e in edits if e.source is not None and e.kept is not None}
        measured |= {part.looked for r in readings for part in r.parts if part.level is Level.ROW}
        by_texts = tuple(_by_texts(call, controls))
        return cls(plain, edits, readings, by_texts, tuple(sorted(measured)))


def _edit(call: Call, row: int, given: JointRow) -> JointEdit:
    text, image, place = call.keys.text, call.keys.image, call.device
    assert text is not None and image is not None
    T, S = call.texts, call.shape[3]
    factor = torch.ones(T) if given.factor is None else given.factor
    factor = factor.double()
    hidden = _hidden(call, row)
    matrix = _matrix(call, row, given)
    weighed = matrix * factor
    texts = weighed.sum(1) > 0
    values = weighed[texts] / weighed[texts].sum(1, keepdim=True)
    giving, weight = _sums(call, weighed, given.layout)

    kept = ~hidden
    kept[image] &= not given.layout
    if given.taken is not None:
        kept[text] &= ~given.taken
    changed = (kept[text] & (factor != 1)).nonzero().squeeze(1)
    kept[text] &= factor > 0
    bias = torch.zeros(S).double()
    bias[text] = factor.log()
    bias = bias[kept]
    return JointEdit(
        row=row,
        source=given.source,
        giving=giving,
        values=None if torch.equal(values, torch.eye(T).double()) else values.to(call.v),
        layout=given.layout,
        weight=weight,
        unweighed=None if torch.equal(weighed, matrix) else _sums(call, matrix, given.layout),
        kept=_keys(kept, place),
        bias=bias.to(place) if bool(bias.any()) else None,
        changed=((changed + text.start).to(place), (1 - factor[changed]).to(place))
        if len(changed)
        else None,
    )


def _sums(call: Call, matrix: Tensor, layout: bool) -> tuple[Keys | None, Tensor | None]:
    """The source's keys that give something by M, and the log of what; None = zeros."""
    text, image = call.keys.text, call.keys.image
    assert text is not None and image is not None
    sums = torch.zeros(call.shape[3]).double()
    sums[text] = matrix.sum(1)
    sums[image] = float(layout)
    weight = sums[sums > 0].log()
    return _keys(sums > 0, call.device), weight.to(call.device) if bool(weight.any()) else None


def _matrix(call: Call, row: int, given: JointRow) -> Tensor:
    """M without columns that the row does not see, nor rows that the source does not see."""
    T, text = call.texts, call.keys.text
    if given.matrix is None or given.source is None:
        return torch.zeros(T, T).double()
    seen, shown = ~_hidden(call, given.source)[text], ~_hidden(call, row)[text]
    return given.matrix.double() * seen[:, None] * shown


def _hidden(call: Call, row: int) -> Tensor:
    """[S] bool on the CPU: keys that the model's own mask hides from every query of the row."""
    if call.bias is None:
        return torch.zeros(call.shape[3], dtype=torch.bool)
    own = call.bias[row if call.bias.shape[0] > 1 else 0]
    return (own == -torch.inf).flatten(0, 1).all(0).cpu()


def _readings(call: Call, controls: Sequence[Control], mix: JointMix) -> list[JointReading]:
    found = []
    for (row, edited), owners in wanted_words(call, controls).items():
        given = mix.rows[row] if edited else JointRow()
        select = torch.zeros(call.texts, len(owners)).double()
        for i, word in enumerate(owners):
            select[list(word.tokens), i] = 1.0
        if given.factor is not None:
            select = select * given.factor[:, None]
        if given.plain:
            parts = [_part(call, Level.ROW, row, select)]
        else:
            own = select if given.taken is None else select * ~given.taken[:, None]
            parts = [_part(call, Level.KEPT, row, own)]
            if given.source is not None:
                taken = _matrix(call, row, given) @ select
                parts.append(_part(call, Level.TAKEN, given.source, taken))
        parts = [part for part in parts if len(part.keys)]
        found.append(
            JointReading(row, tuple(owners), tuple(map(tuple, owners.values())), tuple(parts))
        )
    return found


def _by_texts(call: Call, controls: Sequence[Control]) -> Iterator[JointReading]:
    """Text queries are never edited, so every word is one column of the row's own attention."""
    for control in controls:
        wish = control.record(call.site, call.step)
        if wish is None or not wish.texts:
            continue
        for row in call.batch.cond:
            prompt = call.batch.rows[row].prompt
            words = tuple(word for word in wish.words if word.prompt == prompt)
            select = torch.zeros(call.texts, len(words)).double()
            for i, word in enumerate(words):
                select[list(word.tokens), i] = 1.0
            if words:
                part = _part(call, Level.ROW, row, select)
                yield JointReading(row, words, ((control,),) * len(words), (part,))


def _part(call: Call, level: Level, looked: int, weights: Tensor) -> Part:
    assert call.keys.text is not None
    keys = weights.any(1).nonzero().squeeze(1)
    place = call.device
    return Part(level, looked, (keys + call.keys.text.start).to(place), weights[keys].to(place))


def _keys(chosen: Tensor, place: torch.device) -> Keys | None:
    found = chosen.nonzero().squeeze(1)
    if not len(found):
        return None
    first, last = int(found[0]), int(found[-1]) + 1
    return slice(first, last) if last - first == len(found) else found.to(place)
