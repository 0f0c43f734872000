"""The one JSON object that a picture-making command prints, and the receipt in it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .result import Result, Verdict

if TYPE_CHECKING:
    from .processors.receipt import Receipt

__all__ = ["receipt_facts", "report"]


def report(result: Result, images: Sequence[Path]) -> dict[str, Any]:
    """Result -> {"images", "receipt", "judge", "timings", "recipe"}.

    receipt: of the first edit; where nothing was compared its figures are null. `psnr_outside` is
             null too when nothing at all changed outside, `changed_outside` being 0.
    judge:   null unless the model draws emoji world.

    A run with more than one receipt also has "receipts", all of them in order.
    """
    receipts = result.receipts
    found: dict[str, Any] = {
        "images": [str(path) for path in images],
        "receipt": receipt_facts(receipts[0] if receipts else None, result.warnings),
        "judge": None
        if result.verdicts is None
        else {"pictures": [_picture(verdict) for verdict in result.verdicts]},
        "timings": dict(result.timings),
        "recipe": result.recipe.model_dump(mode="json"),
    }
    if len(receipts) > 1:
        found["receipts"] = [receipt_facts(receipt, receipt.warnings) for receipt in receipts]
    return found


def receipt_facts(receipt: Receipt | None, warnings: Sequence[str]) -> dict[str, Any]:
    """For JSON; None where nothing was compared."""
    if receipt is None:
        figures = dict.fromkeys(("changed_inside", "changed_outside", "psnr_outside"))
        return {**figures, "map_shift": {}, "effect": None, "warnings": list(warnings)}
    return {
        "changed_inside": _figure(receipt.changed_inside),
        "changed_outside": _figure(receipt.changed_outside),
        "psnr_outside": _figure(receipt.psnr_outside),
        "map_shift": {word: _figure(shift) for word, shift in receipt.map_shift.items()},
        "effect": receipt.effect,
        "warnings": list(warnings),
    }


def _figure(value: float | None) -> float | None:
    """JSON has no infinity."""
    return None if value is None or not isfinite(value) else round(value, 4)


def _picture(verdict: Verdict) -> dict[str, Any]:
    scene, score = verdict.scene, verdict.score
    return {
        "text": score.text(),
        "nouns": list(scene.nouns),
        "colours": list(scene.colours),
        "boxes": [[round(float(side), 4) for side in box] for box in scene.boxes],
        "background": scene.background,
        "style": scene.style,
        "nouns_ok": score.nouns_ok,
        "colours_ok": score.colours_ok,
        "relation_ok": score.relation_ok,
        "background_ok": score.background_ok,
        "style_ok": score.style_ok,
    }
