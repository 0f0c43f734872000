"""Packs the kept rows into WebDataset shards: tar files whose bytes depend on the rows alone.

    shards/000000.tar   cat.source.png  cat.edit.png  cat.mask.png  cat.receipt.json  dog.source.png

The files of a row stand together under its folder's name; every thousand rows of the manifest make
a shard, so those of `--shard i/n` have names of their own.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from ..whole_files import whole
from .journal import BatchJournal, Item
from .places import RECEIPT, place_of

__all__ = ["pack"]

_ROWS = 1000


def pack(journal: BatchJournal, root: Path, shard: tuple[int, int] = (0, 1)) -> list[Path]:
    """Writes the shards and gives their paths; each appears whole or not at all."""
    folder = root / "shards"
    folder.mkdir(exist_ok=True)
    prefix = "" if shard[1] == 1 else f"{shard[0]}-of-{shard[1]}-"
    made: list[Path] = []
    block: list[Item] = []
    for item in journal.items(state="done"):
        if block and item.number // _ROWS != block[0].number // _ROWS:
            made += _write(block, root, folder, prefix)
            block = []
        if item.kept:
            block.append(item)
    made += _write(block, root, folder, prefix)
    for path in folder.glob(f"{prefix}[0-9]*.tar"):
        if path not in made and path.name.removeprefix(prefix).count("-") == 0:
            path.unlink()  # of a selection before
    return made


def _write(block: list[Item], root: Path, folder: Path, prefix: str) -> list[Path]:
    if not block:
        return []
    path = folder / f"{prefix}{block[0].number // _ROWS:06d}.tar"
    with whole(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for item in block:
            home = root / place_of(item.number, item.row.folder)
            for name in (*item.files, RECEIPT):
                _add(tar, f"{item.row.folder}.{name}", (home / name).read_bytes())
    return [path]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """No times and no owners: the same rows are the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    tar.addfile(info, io.BytesIO(data))
