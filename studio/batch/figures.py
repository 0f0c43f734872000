"""What a row's pictures amount to in numbers: what filters read and indexes hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..processors.receipt import Receipt
    from ..result import Result

__all__ = ["NAMES", "figures_of", "value_of"]

_JUDGED = ("nouns_ok", "colours_ok", "relation_ok", "background_ok", "style_ok")
NAMES = (
    *("changed_inside", "changed_outside", "psnr_outside", "map_shift", "effect"),
    *_JUDGED,
    *(f"source_{name}" for name in _JUDGED),
)
"""Those of the receipt, and what the judge of emoji world says of the picture and of its source."""


def figures_of(result: Result) -> tuple[dict[str, Any], ...]:
    """One object an edit, else one a picture; what is not known is left out, as is infinity."""
    verdicts = result.verdicts
    if not result.recipe.is_edit:
        return tuple(_judged(result, i, "") for i in range(len(result.images)))
    found = []
    for edit, receipt in enumerate(result.receipts, start=1):
        judged = {} if verdicts is None else _judged(result, 0, "source_")
        found.append({**_measured(receipt), **_judged(result, edit, ""), **judged})
    return tuple(found)


def value_of(figures: Mapping[str, Any], name: str) -> float | str | bool | None:
    """A figure by its name; None when it is not known. psnr_outside is infinite of no change."""
    found = figures.get(name)
    if found is None and name == "psnr_outside" and figures.get("changed_outside") == 0:
        return inf
    return found


def _measured(receipt: Receipt) -> dict[str, Any]:
    values = {
        "changed_inside": receipt.changed_inside,
        "changed_outside": receipt.changed_outside,
        "psnr_outside": receipt.psnr_outside,
        "map_shift": max(receipt.map_shift.values(), default=None),
    }
    kept = {n: round(v, 4) for n, v in values.items() if v is not None and isfinite(v)}
    return {**kept, "effect": receipt.effect}


def _judged(result: Result, picture: int, prefix: str) -> dict[str, Any]:
    if result.verdicts is None:
        return {}
    score = result.verdicts[picture].score
    found = {name: getattr(score, name) for name in _JUDGED}
    return {prefix + name: value for name, value in found.items() if value is not None}
