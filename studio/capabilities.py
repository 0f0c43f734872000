"""Which controls go together on which family: what the tests found out, read from the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TypeAlias

__all__ = ["Matrix", "capabilities", "read_page"]

Matrix: TypeAlias = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Family -> control -> control -> "yes", or the sentence with which the pair is refused."""


def capabilities() -> Matrix:
    """The matrix that was generated with this version; see docs/capabilities.md."""
    found: Matrix = json.loads(files(__package__).joinpath("capabilities.json").read_text("utf-8"))
    return found


def read_page(page: str) -> dict[str, dict[str, dict[str, str]]]:
    """The matrix in docs/capabilities.md, which `tests.processors.capabilities` writes."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    family, columns = "", [""]
    for line in page.splitlines():
        if line.startswith("## "):
            family = line[3:].strip()
            found[family] = {}
        elif line.startswith("|") and family:
            first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            if first.startswith("**"):
                row = dict(zip(columns, cells, strict=True))
                found[family][first.strip("*")] = row
            elif cells and not cells[0].startswith("-"):
                columns = cells
    return found
