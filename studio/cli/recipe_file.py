"""What stands in a file that `--recipe` names: JSON, or a picture that carries it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..stored import read_json

__all__ = ["read_recipe"]

_LARGEST = 2**20  # bytes
_JSON_BEGINS = (b"{", b" ", b"\n", b"\r", b"\t", b"\xef", b"[")


def read_recipe(name: str, carried: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """The object in a JSON file, in what a run printed or left as JSON, or on stdin for "-".

    carried: reads it from a picture.
    ValueError, in one sentence, for everything else.
    """
    if name == "-":
        data = sys.stdin.buffer.read(_LARGEST + 1)
    else:
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"recipe: {name!r} is no file; expected JSON or a picture")
        with path.open("rb") as file:
            if file.read(1) not in _JSON_BEGINS:
                return dict(carried(path))
            file.seek(0)
            data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"recipe: {name!r} has more than {_LARGEST} bytes")
    try:
        found = read_json(data.decode("utf-8-sig"), f"recipe: {name!r}")
    except UnicodeDecodeError:
        raise ValueError(f"recipe: {name!r} is neither JSON in UTF-8 nor a picture") from None
    if isinstance(found, dict) and isinstance(found.get("recipe"), dict):
        found = found["recipe"]  # what --json printed
    if not isinstance(found, dict):
        raise ValueError(f"recipe: {name!r} is no JSON object")
    return found
