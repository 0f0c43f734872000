"""Rows whose image tokens see a disc only: by the disc kernel, which forms no table.

It runs where discs are all that limits who may see whom: no labels, no table, no weight that
differs between queries, no reference tokens. Elsewhere `limits` has the discs in its table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..kernels.disc import disc_attention
from ..kernels.maps import lse
from .call import Call
from .control import Control
from .fused import fused
from .mask import Mask, Window
from .tensors import pick

__all__ = ["Windows"]


@dataclass(frozen=True, eq=False)
class Windows:
    """Of each row of a call the radius of its disc in tokens, None = no disc is drawn here."""

    call: Call
    radii: tuple[float | None, ...]

    @classmethod
    def of(cls, call: Call, controls: Sequence[Control]) -> Windows:
        """Without any disc where no control has one, or where something else limits as well."""
        none = cls(call, (None,) * call.shape[0])
        masks = [(c.rows, mask) for c in controls if (mask := c.mask(call)) is not None]
        if not masks or not _fits(call):  # most calls: no bias is asked for
            return none
        if any((bias := c.bias(call)) is not None and bias.labels is not None for c in controls):
            return none
        radii = list(none.radii)
        for rows, mask in masks:
            found = _radius(mask)
            if found is None:
                return none
            for row in call.batch.select(rows):
                known = radii[row]
                radii[row] = found if known is None else min(found, known)
        return cls(call, tuple(radii))

    @property
    def any(self) -> bool:
        """Whether there is a disc."""
        return any(radius is not None for radius in self.radii)

    def attend(
        self,
        rows: Sequence[int],
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        *,
        wants_lse: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """[R, H, N, D] of output rows, and [R, H, N] or None; bias [R or 1, H or 1, 1, S]."""
        kinds = [self.radii[row] for row in rows]
        if len(set(kinds)) == 1:
            return self._attend(kinds[0], q, k, v, bias, wants_lse=wants_lse)
        order: list[int] = []
        outs, lses = [], []
        for kind in dict.fromkeys(kinds):
            places = [i for i, other in enumerate(kinds) if other == kind]
            order += places
            own = bias if bias is None or len(bias) == 1 else pick(bias, places)
            some_q, some_k, some_v = (pick(x, places) for x in (q, k, v))
            out, level = self._attend(kind, some_q, some_k, some_v, own, wants_lse=wants_lse)
            outs.append(out)
            lses.append(level)
        back = [order.index(i) for i in range(len(order))]
        known = [level for level in lses if level is not None]
        whole = pick(torch.cat(known), back) if len(known) == len(lses) else None
        return pick(torch.cat(outs), back), whole

    def lse(self, row: int, q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
        """[1, H, n] of one row's image queries; bias [1, H or 1, 1 or N, S]."""
        image = self.call.queries.image
        assert image is not None
        radius = self.radii[row]
        if radius is None:
            limit = bias if bias is None or bias.shape[2] == 1 else bias[:, :, image]
            return lse(q[:, :, image], k, scale=self.call.scale, bias=limit)
        found = self._attend(radius, q, k, k, bias, wants_lse=True)[1]
        assert found is not None
        return found[:, :, image]

    def table(self, bias: Tensor | None) -> Tensor | None:
        """The bias with the discs in it, as `limits` gives it."""
        total = bias
        for radius in {radius for radius in self.radii if radius is not None}:
            allowed = Window(radius).allowed(self.call)
            added = torch.zeros(allowed.shape, device=allowed.device)
            added = added.masked_fill_(~allowed, -torch.inf)[None, None]
            chosen = torch.tensor([own == radius for own in self.radii], device=allowed.device)
            added = torch.where(chosen[:, None, None, None], added, 0.0)
            total = added if total is None else total + added
        return total

    def _attend(
        self,
        radius: float | None,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        bias: Tensor | None,
        *,
        wants_lse: bool,
    ) -> tuple[Tensor, Tensor | None]:
        if radius is None:
            return fused(q, k, v, self.call.scale, bias, wants_lse=wants_lse)
        image, text, coarse = (getattr(self.call.keys, n) for n in ("image", "text", "coarse"))
        height, width = self.call.queries.grid or (0, 0)
        where: dict[str, Any] = {
            "grids": [(image.start, height, width)],
            "text": (0, 0) if text is None else (text.start, text.stop - text.start),
            "radius": radius,
            "scale": self.call.scale,
            "pooled": None if coarse is None else (coarse.start, coarse.stop - coarse.start),
            "key_bias": None if bias is None else bias[:, :, 0],
        }
        if wants_lse:
            return disc_attention(q, k, v, **where, return_lse=True)
        return disc_attention(q, k, v, **where), None


def _radius(mask: Mask) -> float | None:
    """Of a mask of discs alone, the smallest."""
    discs = [part.radius_tok for part in mask.parts if isinstance(part, Window)]
    return min(discs) if len(discs) == len(mask.parts) else None


def _fits(call: Call) -> bool:
    """Whether the tokens are text, one image and pooled keys, which queries do not have.

    And whether the model's own bias is the same for every query.
    """
    queries, keys = call.queries, call.keys
    if call.bias is not None and call.bias.shape[2] != 1:
        return False
    if keys.reference is not None or queries.reference is not None or queries.grid is None:
        return False
    same = (queries.image, queries.text) == (keys.image, keys.text)
    pooled = 0 if keys.coarse is None else keys.coarse.stop - keys.coarse.start
    height, width = queries.grid
    whole = call.texts + height * width
    return same and call.shape[2:] == (whole, whole + pooled)
