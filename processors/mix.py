"""Output rows as sums of ordinary attentions with changed values: edits without probabilities.

Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626) changes attention maps A, and what leaves
the layer is A V: linear in V. So an edit can be moved to the values. Row e, with T_e its terms:

    O_e = sum over (r, L, w) in T_e of diag(w) · Attn(Q_r, K_r, L V_e)       A_e = sum diag(w) A_r L

    r: row whose queries and keys are used          L [S_r, S_e] = M · diag(s): value map over keys
    w [N]: optional weight of each query            V_e [S_e, D]: always the row's own values

ours: the algebra; the paper's code forms A_e.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["Mix", "Term"]


@dataclass(frozen=True, eq=False)
class Term:
    """One attention that a row is made of; all its tensors are fp32 on the CPU.

    row:    whose queries and keys it uses.
    matrix: M [S_row, S]; None = the identity.
    scale:  s [S], a factor for each of the row's own keys; None = ones.
    weight: w [N], a factor for each query; None = ones.
    """

    row: int
    matrix: Tensor | None = None
    scale: Tensor | None = None
    weight: Tensor | None = None

    @property
    def identity(self) -> bool:
        """Whether it is Attn(Q_r, K_r, V_e) and nothing else."""
        return self.matrix is None and self.scale is None and self.weight is None

    def scaled(self, factor: Tensor) -> Term | None:
        """L · diag(factor), factor [S]; None when nothing is left of it."""
        scale = factor if self.scale is None else self.scale * factor
        if not bool(scale.any()):
            return None
        return replace(self, scale=None if bool((scale == 1).all()) else scale)

    def widened(self, size: int) -> Term:
        """The same term for `size` keys; ValueError for a matrix, which says nothing of more."""
        if self.matrix is not None and self.matrix.shape[1] != size:
            raise ValueError(
                f"controls: a map of words over {self.matrix.shape[1]} text keys came with a "
                f"control that reads {size} of them; expected the two at different steps"
            )
        if self.scale is None or len(self.scale) == size:
            return self
        return replace(self, scale=F.pad(self.scale, (0, size - len(self.scale)), value=1.0))

    def value_map(self, size: int) -> Tensor:
        """L as one matrix [S_row, S], S = size."""
        matrix = torch.eye(size) if self.matrix is None else self.matrix
        return matrix if self.scale is None else matrix * self.scale

    def like(self, values: Tensor) -> Term:
        """The same term as `values` are: their device and dtype, L one matrix if it has one."""
        matrix, scale = (None if x is None else x.to(values) for x in (self.matrix, self.scale))
        if matrix is not None and scale is not None:
            matrix, scale = matrix * scale, None
        weight = None if self.weight is None else self.weight.to(values)
        return Term(self.row, matrix, scale, weight)

    def apply(self, values: Tensor) -> Tensor:
        """L V for V [..., S, D]."""
        if self.scale is not None:
            values = values * self.scale.to(values)[:, None]
        return values if self.matrix is None else self.matrix.to(values) @ values

    def joined(self, other: Term, size: int) -> Term:
        """The sum of two terms that use the same queries, keys and weight."""
        if self.matrix is other.matrix:
            parts = (
                term.scale if term.scale is not None else torch.ones(size) for term in (self, other)
            )
            scale = sum(parts, torch.zeros(size))
            return replace(self, scale=None if bool((scale == 1).all()) else scale)
        return replace(self, matrix=self.value_map(size) + other.value_map(size), scale=None)


@dataclass(frozen=True, eq=False)
class Mix:
    """The terms of every output row; `Mix.own(B)` is the ordinary attention."""

    rows: tuple[tuple[Term, ...], ...]

    @classmethod
    def own(cls, rows: int) -> Mix:
        """Each row reads with its own queries and keys."""
        return cls(tuple((Term(row),) for row in range(rows)))

    def read_as(self, row: int, source: int, matrix: Tensor | None, gate: Tensor) -> Mix:
        """Where the gate is open, `row` looks where `source` looks.

        A ← A_source M diag(g) + A diag(1 − g).
        matrix: M [S_source, S], None = the identity.    gate: g [S] in [0, 1].
        """
        taken = Term(source, matrix).scaled(gate)
        kept = (term.scaled(1 - gate) for term in self.rows[row])
        return self._with(row, (taken, *kept))

    def scaled(self, row: int, factor: Tensor) -> Mix:
        """Columns of the row's map times a factor [S]: A ← A diag(factor), not renormalised."""
        return self._with(row, tuple(term.scaled(factor) for term in self.rows[row]))

    def looked_by(self, row: int, source: int) -> Mix:
        """Wherever `row` used its own queries and keys it uses those of `source`."""
        terms = (replace(t, row=source) if t.row == row else t for t in self.rows[row])
        return self._with(row, tuple(terms))

    def merged(self, sizes: int) -> Mix:
        """Terms of a row that share queries, keys and weights become one; `sizes` = S.

        Factors of fewer keys leave those behind them alone: keys that another control has added.
        """
        wide = (tuple(term.widened(sizes) for term in terms) for terms in self.rows)
        return Mix(tuple(_merge(terms, sizes) for terms in wide))

    def is_plain(self, row: int) -> bool:
        """Whether the row is the ordinary attention."""
        terms = self.rows[row]
        return len(terms) == 1 and terms[0].row == row and terms[0].identity

    def looked(self, row: int) -> int | None:
        """Whose queries and keys the row uses, where it is one attention of its own values."""
        terms = self.rows[row]
        return terms[0].row if len(terms) == 1 and terms[0].identity else None

    @property
    def plain(self) -> bool:
        """Whether every row is."""
        return all(map(self.is_plain, range(len(self.rows))))

    def _with(self, row: int, terms: tuple[Term | None, ...]) -> Mix:
        kept = tuple(term for term in terms if term is not None)
        return Mix((*self.rows[:row], kept, *self.rows[row + 1 :]))


def _merge(terms: tuple[Term, ...], size: int) -> tuple[Term, ...]:
    merged: list[Term] = []
    for term in terms:
        for i, other in enumerate(merged):
            if other.row == term.row and other.weight is term.weight:
                merged[i] = other.joined(term, size)
                break
        else:
            merged.append(term)
    return tuple(merged)
