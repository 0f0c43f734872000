"""A folder of pictures, each with the recipe that made it inside, and an index to look them up.

out/2026-03-14/000001-7-a-dog-on-grass-1f0c9a2b.png        out/gallery.sqlite
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkstemp
from time import time
from typing import TypeVar
from unicodedata import normalize

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .gallery_index import Entry, Index
from .parameters_text import write_parameters
from .recipe import Recipe
from .result import Result
from .run_sheet import run_sheet
from .stored import KEY, Stored, read_stored

__all__ = ["Gallery", "png_texts", "slug", "versions", "write_png"]

T = TypeVar("T")

_LIBRARIES = ("attention-studio", "diffusers", "torch", "transformers")
_SHOWN = ("picture", "source", "edit")


class Gallery:
    """The pictures under `folder`, which is made when it is missing."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = Index(self.folder / "gallery.sqlite")

    def save(self, result: Result) -> tuple[Path, ...]:
        """Writes a run's pictures and gives their paths, in the order of the prompts.

        Pictures without controls are written beside them, as `…-plain.png`. A PNG's text
        `attention_studio` holds recipe, number and versions as JSON, its text `parameters` what web
        UIs understand.
        """
        recipe, day = result.recipe, self._today()
        entries = [
            self._write(day, image, recipe, i, _role(recipe, i), result)
            for i, image in enumerate(result.images)
        ]
        return self._enter(entries + self._plain(result, day))[: len(entries)]

    def save_plain(self, result: Result) -> tuple[Path, ...]:
        """Writes only the pictures without controls, beside others of the run saved before."""
        return self._enter(self._plain(result, self._today()))

    def _plain(self, result: Result, day: Path) -> list[Entry]:
        recipe, entries = result.recipe, []
        first = len(recipe.prompts) - len(result.plain)
        for i, image in enumerate(result.plain, start=first):
            seed = recipe.seed if recipe.is_edit else recipe.seed + i
            alone = {"prompts": (recipe.prompts[i],), "controls": (), "seed": seed}
            bare = recipe.model_copy(update=alone)
            entries.append(self._write(day, image, bare, 0, "plain", result, run=recipe, number=i))
        return entries

    def _enter(self, entries: list[Entry]) -> tuple[Path, ...]:
        now = time()  # the same for all, so that a run stays together in its own order
        entries = [replace(entry, created=now) for entry in entries]
        self._safely(lambda: self._index.add(entries))
        return tuple(entry.path for entry in entries)

    def _today(self) -> Path:
        day = self.folder / date.today().isoformat()
        day.mkdir(parents=True, exist_ok=True)
        return day

    def save_sheet(self, result: Result, words: Sequence[str] = ()) -> Path:
        """Writes the sheet of a run beside its pictures, with the heat maps of `words`."""
        path = self._today() / f"contact-sheet-{result.recipe.digest}.png"
        write_png(run_sheet(result, words), path)
        return path

    def newest(
        self, limit: int = 50, offset: int = 0, text: str | None = None, *, plain: bool = False
    ) -> list[Entry]:
        """Pictures, newest first; those whose file is gone are left out.

        text:  must stand in the prompt.
        plain: also those without controls that stand beside an edit.
        """
        if not self._index.file.is_file():
            self.rebuild()
        roles = (*_SHOWN, "plain") if plain else _SHOWN
        found = self._safely(lambda: self._index.newest(limit, offset, text, roles))
        gone = [entry.path for entry in found if not entry.path.is_file()]
        if not gone:
            return found
        self._safely(lambda: self._index.drop(gone))
        return self.newest(limit, offset, text, plain=plain)

    def recipe_of(self, picture: str | Path | bytes) -> Stored:
        """What any picture says of itself; ValueError, in one sentence, for one that is refused."""
        return read_stored(picture if isinstance(picture, bytes) else Path(picture))

    def rebuild(self) -> int:
        """Makes the index anew from the pictures, and tells how many there are."""
        self._index.file.unlink(missing_ok=True)
        entries = []
        for path in sorted(self.folder.glob("*/*.png")):
            try:
                stored = read_stored(path)
            except (ValueError, OSError):  # not ours, or damaged: it stays where it is
                continue
            if stored.recipe is not None and stored.origin == "attention-studio":
                created = path.stat().st_mtime
                prompt = stored.recipe.prompts[stored.index]
                entries.append(
                    Entry(
                        path,
                        created,
                        stored.run,
                        stored.number,
                        stored.role,
                        prompt,
                        stored.recipe.model,
                        _seed(stored.recipe, stored.index),
                        stored.picture.size,
                    )
                )
        self._index.add(entries)
        return len(entries)

    def _write(
        self,
        day: Path,
        image: Image.Image,
        recipe: Recipe,
        index: int,
        role: str,
        result: Result,
        *,
        run: Recipe | None = None,
        number: int | None = None,
    ) -> Entry:
        """`recipe` and `index` are what draws this picture; `run` and `number` where it belongs."""
        of, at = run or recipe, index if number is None else number
        prompt, seed = recipe.prompts[index], _seed(recipe, index)
        tail = "-plain" if role == "plain" else ""
        path = day / f"{at:06d}-{seed}-{slug(prompt)}-{of.digest}{tail}.png"
        write_png(image, path, png_texts(image, recipe, index, role, result.made, of.digest, at))
        size = (image.height, image.width)
        created = path.stat().st_mtime
        return Entry(path, created, of.digest, at, role, prompt, recipe.model, seed, size)

    def _safely(self, act: Callable[[], T]) -> T:
        """A damaged index is made anew: the pictures are the truth."""
        try:
            return act()
        except sqlite3.DatabaseError:
            self.rebuild()
            return act()


def png_texts(
    image: Image.Image,
    recipe: Recipe,
    index: int,
    role: str,
    made: Mapping[str, str],
    run: str,
    number: int,
) -> PngInfo:
    """What a picture carries: its recipe and place as JSON, and what web UIs read.

    run, number: digest of the recipe it was drawn for, and its place among those pictures.
    """
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "index": index,
        "role": role,
        "run": run,
        "number": number,
        "versions": versions(),
        "made": dict(made),
    }
    info = PngInfo()
    info.add_itxt("parameters", _parameters(recipe, index, image.size, made))
    info.add_itxt(KEY, json.dumps(record, ensure_ascii=False))
    return info


def versions() -> dict[str, str]:
    """Of this project and the libraries that draw."""
    return {name: _version(name) for name in _LIBRARIES}


@lru_cache(maxsize=16)
def _version(name: str) -> str:
    """Read once: parsing a distribution's metadata takes longer than writing a small picture."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _role(recipe: Recipe, index: int) -> str:
    return ("source" if index == 0 else "edit") if recipe.is_edit else "picture"


def _seed(recipe: Recipe, index: int) -> int:
    return recipe.seed if recipe.is_edit else recipe.seed + index


def _parameters(recipe: Recipe, index: int, size: tuple[int, int], made: Mapping[str, str]) -> str:
    settings = {
        "Steps": recipe.steps,
        "Sampler": made.get("scheduler", "").removesuffix("Scheduler") or "unknown",
        "CFG scale": recipe.guidance,
        "Seed": _seed(recipe, index),
        "Size": f"{size[0]}x{size[1]}",
        "Model": Path(recipe.model).stem or recipe.model,
        "Version": f"attention-studio {versions()['attention-studio']}",
    }
    if recipe.controls:
        settings["Controls"] = "+".join(spec.control for spec in recipe.controls)
    return write_parameters(recipe.prompts[index], recipe.negative, settings)


def slug(prompt: str) -> str:
    """At most 40 of a-z, 0-9 and hyphens: safe as a file name everywhere."""
    ascii_only = normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only)[:40].strip("-") or "picture"


def write_png(image: Image.Image, path: Path, info: PngInfo | None = None) -> None:
    """Never leaves a half-written picture under its final name, whatever happens."""
    handle, name = mkstemp(prefix=".", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, format="PNG", pnginfo=info)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
