"""The one JSON object that a picture-making command prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .result import Result, Verdict

__all__ = ["report"]


def report(result: Result, images: Sequence[Path]) -> dict[str, Any]:
    """Result -> {"images", "receipt", "judge", "timings", "recipe"}.

    receipt: a run without controls changed nothing, so its figures are null.
    judge:   null unless the model draws emoji world.
    """
    return {
        "images": [str(path) for path in images],
        "receipt": {
            "changed_inside": None,
            "changed_outside": None,
            "psnr_outside": None,
            "map_shift": {},
            "effect": None,
            "warnings": list(result.warnings),
        },
        "judge": None
        if result.verdicts is None
        else {"pictures": [_picture(verdict) for verdict in result.verdicts]},
        "timings": result.timings,
        "recipe": result.recipe.model_dump(mode="json"),
    }


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
