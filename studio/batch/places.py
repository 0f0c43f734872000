"""Where a batch keeps a row, and which of its files are pictures."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RECEIPT", "picture_names", "place_of"]

RECEIPT = "receipt.json"
"""What a row says of itself, in its folder."""

_A_THOUSAND = 1000


def place_of(number: int, folder: str) -> str:
    """Where a row's folder is, below the output folder; POSIX."""
    return f"pictures/{number // _A_THOUSAND:04d}/{folder}"


def picture_names(files: Sequence[str]) -> list[str]:
    """A row's pictures in the order of its prompts, without masks and maps."""
    shown = [name for name in files if name.startswith(("source", "edit", "picture"))]
    return sorted(shown, key=lambda name: (not name.startswith("source"), len(name), name))
