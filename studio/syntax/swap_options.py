"""The options of compel's .swap(): when the edit looks, and lays things out, as the source does.

InvokeAI's documentation of its cross-attention control, all as parts of the run:

    t_start, t_end: cross-attention          s_start, s_end: self-attention
    shape_freedom f: s_end = 1 − f^(1/3)

ours: where neither of a pair is given, the intervals are those of `edit`. (compel's own defaults
changed from version to version.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .weights import LONGEST_NUMBER, NUMBER

__all__ = ["SwapOptions", "swap_options"]

_NAMES = ("s_start", "s_end", "t_start", "t_end", "shape_freedom")


@dataclass(frozen=True)
class SwapOptions:
    """The parts of the run in which `words` follow the source's words, and `layout` its layout."""

    words: tuple[float, float] = (0.0, 0.8)
    layout: tuple[float, float] = (0.0, 0.4)


def swap_options(given: Mapping[str, str]) -> tuple[SwapOptions, tuple[str, ...]]:
    """The options as they are understood, and what is to be said about the others."""
    known: dict[str, float] = {}
    said: list[str] = []
    for name, value in given.items():
        if name not in _NAMES:
            said.append(f".swap() has no option {name[:40]!r}; it has {', '.join(_NAMES)}")
        elif len(value) > LONGEST_NUMBER or not NUMBER.fullmatch(value):
            said.append(f".swap({name}={value[:40]}): expected a number from 0 to 1; left out")
        else:
            known[name] = max(0.0, min(1.0, float(value)))
            if known[name] != float(value):
                kept = f"{known[name]:g} taken"
                said.append(f".swap({name}={value}): expected 0 to 1, a part of the run; {kept}")
    if "shape_freedom" in known:
        known.setdefault("s_end", 1 - known["shape_freedom"] ** (1 / 3))
    usual = SwapOptions()
    found = []
    for letter, default in (("t", usual.words), ("s", usual.layout)):
        names = f"{letter}_start", f"{letter}_end"
        start, end = known.get(names[0], 0.0), known.get(names[1], 1.0)
        if start > end:
            said.append(f".swap({names[0]}={start:g}, {names[1]}={end:g}): ends before it begins")
        found.append((start, max(start, end)) if known.keys() & set(names) else default)
    return SwapOptions(words=found[0], layout=found[1]), tuple(said)
