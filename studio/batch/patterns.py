"""Patterns in prompts: `a {cat|dog} on {grass|snow}` is four prompts.

The same braces in several prompts of a row are one choice: from "a {red|blue} car" to "a {red|blue}
bus" makes two edits, not four. `\\{` is a brace; braces without a bar are text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from math import prod

__all__ = ["MOST", "expand_patterns"]

MOST = 10_000
"""Rows that one line may make."""

_CHOICE = re.compile(r"(?<!\\)\{([^{}]*\|[^{}]*)\}")
_ESCAPED = re.compile(r"\\([{}])")


def expand_patterns(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Every choice, the first braces changing slowest; ValueError for more than `MOST`."""
    if not any("{" in text for text in texts):
        return [tuple(texts)]
    found = dict.fromkeys(match[1] for text in texts for match in _CHOICE.finditer(text))
    choices = [tuple(braces.split("|")) for braces in found]
    count = prod(map(len, choices))
    if count > MOST:
        raise ValueError(f"prompt: its patterns make {count} rows; expected at most {MOST}")
    made = []
    for chosen in product(*choices):
        taken = dict(zip(found, chosen, strict=True))
        filled = (_CHOICE.sub(lambda m, t=taken: t[m[1]], text) for text in texts)  # type: ignore[misc]
        made.append(tuple(_ESCAPED.sub(r"\1", text) for text in filled))
    return list(dict.fromkeys(made))
