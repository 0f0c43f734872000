"""The pictures of a batch on disk: a row's files appear all at once, or not at all.

    DIR/pictures/0000/<id>/source.png  edit.png  mask.png  map-0-cat.png  receipt.json

A row is written and synced in a folder of the process that drew it, which is then renamed into its
place; so what stands there is whole, whatever happens, and need not be drawn again.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..device import UnavailableError
from ..edit_region import edit_region
from ..gallery import png_texts, slug, versions
from ..jobs.leases import vanished
from ..report import report
from ..whole_files import make_durable, sync
from .claims import Outcome
from .drawer import Drawn
from .figures import figures_of
from .journal import Item
from .places import RECEIPT, place_of

if TYPE_CHECKING:
    from ..result import Result

__all__ = ["DiskFullError", "Store"]

_PARTS = ".parts"
_ROOM = 50  # times what a row takes


class DiskFullError(UnavailableError):
    """There is no more room for pictures."""


@dataclass
class Store:
    """The pictures below `root`, written by `worker`.

    min_free: bytes that stay free on the disk, at least.
    """

    root: Path
    worker: str
    min_free: int = 2**30
    written: int = 0
    rows: int = 0

    def save(self, item: Item, drawn: Drawn, together: int) -> Outcome:
        """Write a row that was drawn. DiskFullError leaves nothing behind.

        together: rows of its call as it was planned.
        """
        result = drawn.result
        assert result is not None
        figures = figures_of(result)
        with self._room(), self._part(item.number) as part:
            for name, image, texts in _images(result, drawn):
                with (part / name).open("wb") as file:
                    image.save(file, format="PNG", pnginfo=texts)
                    sync(file)
            files = tuple(sorted(file.name for file in part.iterdir()))
            record = _record(item, result, drawn, together, figures, files)
            with (part / RECEIPT).open("w", encoding="utf-8", newline="\n") as text:
                json.dump(record, text, ensure_ascii=False, indent=1)
                sync(text)
            make_durable(part)
            self.written += sum(file.stat().st_size for file in part.iterdir())
            self.rows += 1
            self._move(part, self.root / place_of(item.number, item.row.folder))
        return Outcome(item.number, len(result.images), drawn.seconds, figures, files)

    def finished(self, item: Item, together: int) -> Outcome | None:
        """What has been drawn for just this recipe in just such a call, and was not noted down."""
        home, row = self.root / place_of(item.number, item.row.folder), item.row
        try:
            record = json.loads((home / RECEIPT).read_text(encoding="utf-8"))
            figures, files = tuple(record["figures"]), tuple(record["files"])
            if (
                record["asked"] == row.id_of(row.frame, row.prompts, row.seed)
                and record["together"] == together
                and not home.is_symlink()
                and all((home / name).is_file() for name in files)
            ):
                return Outcome(item.number, int(record["pictures"]), 0.0, figures, files)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def check_room(self) -> None:
        """DiskFullError when the disk is nearly full."""
        needed = max(self.min_free, _ROOM * self.written // max(1, self.rows))
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise DiskFullError(
                f"out: {free / 2**20:.0f} MiB are free on its disk; expected {needed / 2**20:.0f} "
                "or more, so make room and run the same command again"
            )

    def tidy(self) -> None:
        """Take away what processes that are gone, and this one, have left half done."""
        parts = self.root / _PARTS
        for folder in parts.iterdir() if parts.is_dir() else ():
            owner = folder.name.replace("+", ":")
            if owner == self.worker or vanished(owner):
                shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others are at work
            parts.rmdir()

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                "out: its disk is full; make room and run the same command again"
            ) from error

    @contextmanager
    def _part(self, number: int) -> Iterator[Path]:
        part = self.root / _PARTS / self.worker.replace(":", "+") / str(number)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _move(self, part: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():  # of another recipe: the plan is a new one
            old = part.with_name(f"{part.name}-old")
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
            part.rename(place)
            shutil.rmtree(old, ignore_errors=True)
        else:
            part.rename(place)
        make_durable(place.parent)


def _images(result: Result, drawn: Drawn) -> Iterator[tuple[str, Image.Image, Any]]:
    recipe, made = result.recipe, _made(result, drawn)
    count = len(result.images)
    for i, image in enumerate(result.images):
        role = ("source" if i == 0 else "edit") if recipe.is_edit else "picture"
        name = role if (role == "source" or count - recipe.is_edit == 1) else f"{role}-{i}"
        yield f"{name}.png", image, png_texts(image, recipe, i, role, made, recipe.digest, i)
    for edit in range(1, count if recipe.is_edit and result.verdicts is not None else 0):
        assert result.verdicts is not None
        scenes = result.verdicts[0].scene, result.verdicts[edit].scene
        region = edit_region(recipe, edit, scenes)
        if region is not None:
            mask = Image.fromarray(region.numpy().astype(np.uint8) * 255)
            yield ("mask.png" if count == 2 else f"mask-{edit}.png"), mask, None
    for number, (word, maps) in enumerate(result.maps.items()):
        for i, heat in enumerate(maps):
            if heat is not None:
                levels = np.rint(heat.clip(0, 1) * 65535).astype(np.uint16)
                name = f"map-{i}-{number:02d}-{slug(word)[:20]}.png"
                yield name, Image.fromarray(levels), None


def _made(result: Result, drawn: Drawn) -> Mapping[str, str]:
    steps = {"steps_taken": ", ".join(drawn.steps)} if drawn.steps else {}
    return {**result.made, **steps}


def _record(
    item: Item,
    result: Result,
    drawn: Drawn,
    together: int,
    figures: Sequence[Mapping[str, Any]],
    files: Sequence[str],
) -> dict[str, Any]:
    """What a row says of itself: no times in it, so that equal rows make equal files."""
    row, said = item.row, report(result, ())
    return {
        "id": row.id,
        "number": item.number,
        "asked": row.id_of(row.frame, row.prompts, row.seed),
        "together": together,
        "pictures": len(result.images),
        "files": list(files),
        "figures": list(figures),
        "receipts": said.get("receipts", [said["receipt"]] if result.receipts else []),
        "judge": said["judge"],
        "maps": list(result.maps),
        "warnings": [*row.said, *result.warnings],
        "made": _made(result, drawn),
        "versions": versions(),
        "recipe": said["recipe"],
    }
