"""Cuts a prompt into tokens and pairs its brackets and quotes, in time linear in its length.

A closing bracket pairs with the nearest open one of its kind; brackets in between that stay open
have no partner. Quotes pair in the order in which they come, within the same brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Structure", "Token", "read"]


@dataclass(frozen=True)
class Token:
    """Characters [start, end) of the prompt.

    kind: ( ) [ ] : | , and the double quote are themselves; "word"; "blank"; "marks", a run of + or
          of -; "swap" and "operator", compel's functions before their bracket; else "sign".
    """

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Structure:
    """What belongs together, by the numbers of tokens.

    partner:    of each paired bracket and quote, both ways.
    separators: for each paired opening bracket the ":" "|" "," directly inside it, in order.
    alone:      brackets without a partner.
    """

    text: str
    tokens: tuple[Token, ...]
    partner: dict[int, int]
    separators: dict[int, list[int]]
    alone: list[int]


# A word may hold escaped signs, and plus or minus signs that do not end it ("hot-dog").
_TOKEN = re.compile(
    r"""
      (?P<word> (?: [^\s()\[\]:|",.+\-=\\] | \\[()\[\]:|",.+\-=\\] )+
                (?: [+\-]+ (?: [^\s()\[\]:|",.+\-=\\] | \\[()\[\]:|",.+\-=\\] )+ )* )
    | (?P<blank> \s+ )
    | (?P<marks> \++ | -+ )
    | (?P<swap> \.swap (?= \( ) )
    | (?P<operator> \. (?: blend | and | add | attend ) (?= \( ) )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ITSELF = frozenset('()[]:|",')
_OPENING = {")": "(", "]": "["}


@dataclass
class _Level:
    """An open bracket: what is directly inside it, and a quote that waits for its partner."""

    separators: list[int] = field(default_factory=list)
    quote: int | None = None


def read(text: str) -> Structure:
    """The tokens of a text; together they are all of it."""
    tokens = tuple(
        Token(m.group() if m.group() in _ITSELF else str(m.lastgroup), m.start(), m.end())
        for m in _TOKEN.finditer(text)
    )
    brackets = _brackets(tokens)
    partner = dict(brackets)
    separators: dict[int, list[int]] = {}
    levels = [_Level()]
    opened: list[int] = []
    for i, token in enumerate(tokens):
        level = levels[-1]
        if token.kind in ("(", "[") and i in brackets:
            levels.append(_Level())
            opened.append(i)
        elif token.kind in _OPENING and i in brackets:
            separators[opened.pop()] = levels.pop().separators
        elif token.kind in (":", "|", ","):
            level.separators.append(i)
            if token.kind != "," and opened and tokens[opened[-1]].kind == "[":
                level.quote = None  # a quote does not reach over the parts of [from:to:when]
        elif token.kind == '"':
            if level.quote is None:
                level.quote = i
            else:
                partner[level.quote], partner[i] = i, level.quote
                level.quote = None
    alone = [i for i, token in enumerate(tokens) if token.kind in "()[]" and i not in brackets]
    return Structure(text, tokens, partner, separators, alone)


def _brackets(tokens: tuple[Token, ...]) -> dict[int, int]:
    partner: dict[int, int] = {}
    opened: list[int] = []
    waiting = {"(": 0, "[": 0}
    for i, token in enumerate(tokens):
        if token.kind in waiting:
            opened.append(i)
            waiting[token.kind] += 1
        elif token.kind in _OPENING and waiting[_OPENING[token.kind]]:
            while True:
                last = opened.pop()
                waiting[tokens[last].kind] -= 1
                if tokens[last].kind == _OPENING[token.kind]:
                    break
            partner[last], partner[i] = i, last
    return partner
