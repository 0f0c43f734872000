"""Files that appear whole or not at all, and outlive a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["make_durable", "sync", "whole", "write_whole"]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a name to write to, which takes the place of `path` when the block ends well."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        make_durable(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """The same for a text."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def make_durable(folder: Path) -> None:
    """Names in the folder outlive a power cut."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync(file: IO[Any]) -> None:
    """What was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())
