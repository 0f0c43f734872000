"""Writes a run's pictures: names that sort, and in each PNG the recipe that made it."""

from __future__ import annotations

import json
import re
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unicodedata import normalize

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .generate import Result
from .sheet import contact_sheet

__all__ = ["save", "save_sheet"]

_LIBRARIES = ("attention-studio", "diffusers", "torch", "transformers")


def save(result: Result, folder: Path) -> tuple[Path, ...]:
    """Write each picture to `folder/date/index-seed-slug-digest.png`, in the prompts' order.

    The PNG's text key `attention_studio` holds the recipe, the picture's index and the versions
    of the libraries, as JSON.
    """
    recipe, paths = result.recipe, []
    day = _day(folder)
    for i, (image, prompt) in enumerate(zip(result.images, recipe.prompts, strict=True)):
        record = {"recipe": recipe.model_dump(mode="json"), "index": i, "versions": _versions()}
        info = PngInfo()
        info.add_itxt("attention_studio", json.dumps(record, ensure_ascii=False))
        path = day / f"{i:06d}-{recipe.seed + i}-{_slug(prompt)}-{recipe.digest}.png"
        _write(image, path, info)
        paths.append(path)
    return tuple(paths)


def save_sheet(result: Result, folder: Path) -> Path:
    """Write the contact sheet of a run beside its pictures."""
    notes = [verdict.score.text() for verdict in result.verdicts or ()]
    path = _day(folder) / f"contact-sheet-{result.recipe.digest}.png"
    _write(contact_sheet(result.images, result.recipe.prompts, notes or None), path)
    return path


def _day(folder: Path) -> Path:
    day = folder / date.today().isoformat()
    day.mkdir(parents=True, exist_ok=True)
    return day


def _slug(prompt: str) -> str:
    """At most 40 of a-z, 0-9 and hyphens: safe as a file name everywhere."""
    ascii_only = normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only)[:40].strip("-") or "picture"


def _write(image: Image.Image, path: Path, info: PngInfo | None = None) -> None:
    """Never leave a half-written picture under its final name."""
    part = path.with_suffix(".part")
    image.save(part, format="PNG", pnginfo=info)
    part.replace(path)


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
