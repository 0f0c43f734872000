"""The runner that draws: a warm Session, the Gallery, and what the app shows of a run beside it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .job import Job
from .work import Report

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..gallery import Gallery
    from ..recipe import Recipe
    from ..result import Result
    from ..session import Session

__all__ = ["SessionRunner", "warm_session"]

_WORDS = 32  # whose maps are recorded
_MAPS = "maps"  # folder beside the pictures
_PREVIEW_PX = 768  # the longer side
_log = logging.getLogger(__name__)


class SessionRunner:
    """Runs a job's recipe on a warm session and saves its pictures in a gallery.

    Options of a job: `plain`, also without controls; `maps`, record the maps of all words.
    """

    def __init__(self, session: Session, gallery: Gallery) -> None:
        self._session, self._gallery = session, gallery

    def __call__(self, job: Job, report: Report) -> Mapping[str, Any]:
        from ..recipe import Recipe

        recipe, options = Recipe.model_validate_json(job.recipe), json.loads(job.options)

        def preview(image: Image) -> None:
            if report.wants_preview():
                report.preview(_encoded(image))

        gallery, early = self._gallery, dict[str, Any]()

        def drawn(result: Result) -> None:
            early.update(_summary(result, gallery.save(result), gallery.folder, job.key))
            report.so_far(early)

        result = self._session.run(
            _with_maps(recipe, self._session) if options.get("maps") else recipe,
            progress=report.progress,
            cancel=report.to_stop,
            preview=preview,
            plain=bool(options.get("plain")),
            drawn=drawn,
        )
        if early:
            plain = [_relative(path, gallery.folder) for path in gallery.save_plain(result)]
            return early | {"plain": plain, **_said(result)}
        return _summary(result, gallery.save(result), gallery.folder, job.key)


def warm_session(models: Sequence[Path], warm: str | None, device: str) -> Session:
    """A session for runners.

    models: folders with further models.    warm: the model to load at once.
    """
    from ..session import Session

    session = Session(device=device, folders=models)
    if warm is not None:
        try:
            session.warm(warm)
        except Exception:  # the first job that needs it will say what is wrong
            _log.info("the model %s was not loaded", warm, exc_info=True)
    return session


def _with_maps(recipe: Recipe, session: Session) -> Recipe:
    """The recipe that also records the maps of the words its model reads whole."""
    from ..control_specs import RecordMaps

    if any(isinstance(spec, RecordMaps) for spec in recipe.controls):
        return recipe
    session.warm(recipe.model)
    words = tuple(dict.fromkeys(w for prompt in recipe.prompts for w in session.words(prompt)))
    if not words:
        return recipe
    controls = (*recipe.controls, RecordMaps(words=words[:_WORDS]))
    return recipe.model_copy(update={"controls": controls})


def _summary(result: Result, paths: tuple[Path, ...], folder: Path, key: str) -> Mapping[str, Any]:
    """What the journal keeps of a run; paths are relative to the folder."""
    plain = [path.with_name(f"{path.stem}-plain.png") for path in paths[-len(result.plain) :]]
    return {
        "pictures": [_relative(path, folder) for path in paths],
        "plain": [_relative(path, folder) for path in plain] if result.plain else [],
        "maps": _save_maps(result, folder, key),
        "judge": None if result.verdicts is None else [v.score.text() for v in result.verdicts],
        "recipe": result.recipe.model_dump(mode="json"),
        **_said(result),
    }


def _said(result: Result) -> Mapping[str, Any]:
    """What a run's plain pictures add to: without a source they are what it is held against."""
    from ..receipt_text import receipt_text

    subject = "the edit" if result.recipe.is_edit else "the controls"
    return {
        "receipts": [
            {
                "text": receipt_text(receipt, subject=subject),
                "effect": receipt.effect,
                "changed_inside": receipt.changed_inside,
                "changed_outside": receipt.changed_outside,
                "psnr_outside": _finite(receipt.psnr_outside),
                "map_shift": dict(receipt.map_shift),
            }
            for receipt in result.receipts
        ],
        "warnings": list(result.warnings),
        "timings": dict(result.timings),
        "peak_bytes": result.peak_bytes,
    }


def _save_maps(result: Result, folder: Path, key: str) -> dict[str, Any] | None:
    """{"file": .npz with arrays "<word number>-<picture number>", "words": in their order}."""
    import numpy as np

    words = list(result.maps)
    if not words:
        return None
    arrays: dict[str, Any] = {
        f"{i}-{p}": found.astype(np.float16)
        for i, word in enumerate(words)
        for p, found in enumerate(result.maps[word])
        if found is not None
    }
    path = folder / _MAPS / f"{key}.npz"
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)
    return {"file": _relative(path, folder), "words": words}


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _encoded(image: Image) -> bytes:
    image = image.convert("RGB")
    image.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return buffer.getvalue()
