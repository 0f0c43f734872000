"""How a weight is written: behind a word, a quotation or round brackets, or inside brackets.

word+ × 1.1, word++ × 1.21, word- × 0.9 and (phrase)1.3 are compel's; (phrase:1.3) is that of
AUTOMATIC1111's web UI. Without a number its brackets mean (phrase) × 1.1 and [phrase] ÷ 1.1.
"""

from __future__ import annotations

import re

from .tokens import Structure

__all__ = ["DOWN", "LONGEST_NUMBER", "NUMBER", "UP", "number_inside", "weight_behind"]

UP, DOWN = 1.1, 0.9
NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*")
LONGEST_NUMBER = 32
_BEHIND = re.compile(r"(?:\d?\.\d+|\d)(?=[\s()\[\]:|\",]|\.(?!\d)|$)")  # "(c)2024" is no weight
_MOST_MARKS = 1000


def weight_behind(found: Structure, i: int) -> tuple[float, int] | None:
    """The weight that begins with token i, and the token after it; None when none does."""
    tokens = found.tokens
    if not 0 < i < len(tokens):
        return None
    token = tokens[i]
    if token.kind == "marks":
        following = tokens[i + 1].kind if i + 1 < len(tokens) else "blank"
        if following in ("word", "(", "[", '"', "marks", "swap", "operator"):
            return None
        base = UP if found.text[token.start] == "+" else DOWN
        return float(base ** min(token.end - token.start, _MOST_MARKS)), i + 1
    if token.kind in ("word", "sign") and tokens[i - 1].kind in (")", '"'):
        number = _BEHIND.match(found.text, token.start)
        if number is not None:
            while i < len(tokens) and tokens[i].start < number.end():
                i += 1
            return float(number.group()), i
    return None


def number_inside(found: Structure, i: int) -> tuple[int, str] | None:
    """The last colon in the brackets that open at token i, and the number behind it."""
    inner, tokens = found.separators[i], found.tokens
    colon = next((c for c in reversed(inner) if tokens[c].kind != ","), None)
    if colon is None or tokens[colon].kind != ":":
        return None
    start, end = tokens[colon].end, tokens[found.partner[i]].start
    if end - start > LONGEST_NUMBER or not NUMBER.fullmatch(found.text, start, end):
        return None
    return colon, found.text[start:end].strip()
