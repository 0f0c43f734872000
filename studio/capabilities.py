"""Which controls go together on which family: what the tests found out, read from the package."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from typing import TypeAlias

__all__ = ["Matrix", "Pairs", "capabilities", "controls_of", "exceptions", "read_page"]

Pairs: TypeAlias = Mapping[str, Mapping[str, str]]
"""Control -> control -> "yes", or the sentence with which the pair is refused."""

Matrix: TypeAlias = Mapping[str, Pairs]
"""By family."""


def capabilities() -> Matrix:
    """The matrix that was generated with this version; see docs/capabilities.md."""
    found: Matrix = json.loads(files(__package__).joinpath("capabilities.json").read_text("utf-8"))
    return found


def controls_of(pairs: Pairs) -> list[str]:
    """The controls that work on a family."""
    return [name for name in pairs if "yes" in pairs[name].values()]


def exceptions(pairs: Pairs) -> dict[str, list[str]]:
    """Reason -> what it holds for: controls that do not work on a family, then pairs."""
    here, found = controls_of(pairs), defaultdict[str, list[str]](list)
    for name in pairs:
        if name not in here:
            found[pairs[name][name]].append(name)
    for i, name in enumerate(here):
        for other in here[i:]:
            if (reason := pairs[name][other]) != "yes":
                found[reason].append(f"{name} twice" if other == name else f"{name} with {other}")
    return found


def read_page(page: str) -> dict[str, dict[str, dict[str, str]]]:
    """The matrix in docs/capabilities.md, which `tests.processors.capabilities` writes.

    A pair that is refused has the number of its reason, which stands below the family's table.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for part in page.split("\n## ")[1:]:
        family, *lines = part.splitlines()
        numbered = (line.partition(". ") for line in lines if line[:1].isdigit())
        reasons = {number: reason for number, _, reason in numbered}
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
            if line.startswith("|") and not line.startswith("|---")
        ]
        (_, *columns), *rows = rows
        found[family.strip()] = {
            name.strip("*"): {
                column: reasons.get(cell, cell) for column, cell in zip(columns, cells, strict=True)
            }
            for name, *cells in rows
        }
    return found
