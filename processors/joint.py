"""Edits of joint attention: which columns of an image row are the source's, and what is weighed.

Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626) for models whose image and text tokens are
keys of one softmax (MM-DiT, Esser et al. 2024, arXiv:2403.03206). For each image query of row e,
with A_0 the source's map and A_e its own, columns n over all keys:

    taken columns         P[n] = sum_m A_0[m] M[m, n]         w = sum of them over n
    the other columns     P[n] = (1 − w) A_e[n] / (sum of A_e over the others)
    all columns           A[n] = c[n] P[n] / (sum_n c[n] P[n])

M: token map of text keys, the identity of image keys; c: weights of words. So taken columns carry
exactly the source's probability, the others keep their ratios and rows stay normalised; text
queries are always the row's own. A weight alone is the bias log c, and 0 hides a word.

ours: all of it; the paper has no joint attention. Where several source tokens end in more than they
had (w > 1, possible when words are taken away) the row is divided by w. Weights act on the finished
map, wherever their control stands in the list.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["JointMix", "JointRow"]


@dataclass(frozen=True, eq=False)
class JointRow:
    """How the image rows of one output row differ from its own attention; tensors on the CPU.

    source: the row that is read from; None = nothing is taken.
    matrix: M [T, T] over text keys, zero in columns that are not taken; None = zero.
    taken:  [T] bool, text columns that are the source's.
    layout: whether the image columns are.
    factor: c [T] of text columns; None = ones.
    """

    source: int | None = None
    matrix: Tensor | None = None
    taken: Tensor | None = None
    layout: bool = False
    factor: Tensor | None = None

    @property
    def plain(self) -> bool:
        """Whether it is the ordinary attention."""
        return self.source is None and self.factor is None


@dataclass(frozen=True, eq=False)
class JointMix:
    """What `Mix` is elsewhere: controls edit both by the same three verbs."""

    rows: tuple[JointRow, ...]
    texts: int

    @classmethod
    def own(cls, rows: int, texts: int) -> JointMix:
        """Each row is its own attention."""
        return cls((JointRow(),) * rows, texts)

    def read_as(self, row: int, source: int, matrix: Tensor | None, gate: Tensor) -> JointMix:
        """Where the gate is open, text columns of `row` are those of `source`, by way of M.

        matrix: M [T, T], None = the identity.    gate: [T] of 0 and 1.
        """
        self._check(source, row, gate)
        given = self.rows[row]
        opened = gate > 0
        if not bool(opened.any()):
            return self
        fresh = torch.eye(self.texts) if matrix is None else matrix
        before = given.matrix if given.matrix is not None else torch.zeros(())
        taken = opened if given.taken is None else opened | given.taken
        return self._with(
            row,
            replace(given, source=source, matrix=torch.where(opened, fresh, before), taken=taken),
        )

    def scaled(self, row: int, factor: Tensor) -> JointMix:
        """Text columns of the finished map times a factor [T] >= 0, and the row normalised."""
        if bool((factor < 0).any()):
            raise ValueError(
                f"weights: came {float(factor.min())}; in joint attention rows stay normalised, so "
                "expected 0 (hidden) or more"
            )
        given = self.rows[row].factor
        product = factor if given is None else given * factor
        plain = bool((product == 1).all())
        return self._with(row, replace(self.rows[row], factor=None if plain else product))

    def looked_by(self, row: int, source: int) -> JointMix:
        """Image queries of `row` see image keys as those of `source` do."""
        self._check(source, row)
        return self._with(row, replace(self.rows[row], source=source, layout=True))

    @property
    def plain(self) -> bool:
        """Whether every row is the ordinary attention."""
        return all(row.plain for row in self.rows)

    def _check(self, source: int, row: int, gate: Tensor | None = None) -> None:
        known = self.rows[row].source
        if known is not None and known != source:
            raise ValueError(
                f"source: row {row} reads from rows {known} and {source}; expected one"
            )
        if gate is not None and not bool(((gate == 0) | (gate == 1)).all()):
            raise ValueError("gate: joint attention takes a column whole or not; expected 0 and 1")

    def _with(self, row: int, changed: JointRow) -> JointMix:
        return replace(self, rows=(*self.rows[:row], changed, *self.rows[row + 1 :]))
