"""What a prompt asks of a picture: things with colours, a relation, a place, a style.

Read from left to right, without guessing: a colour belongs to the next noun, whatever size words
or unknown words stand between; a relation, a comma or a place in between cuts it off. Negation
("no", "without") is not understood and, like every word without a meaning here, is listed in
`Expectation.unknown`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .words import BACKGROUNDS, COLOURS, GLYPHS, SIZES, STYLES

__all__ = ["Expectation", "expect"]


@dataclass(frozen=True)
class Expectation:
    """What a prompt says; what it does not say is None or empty.

    things:   (noun, colour or None) in the order of the prompt.
    relation: of the first thing to the second, a member of `words.RELATIONS`.
    unknown:  words that mean nothing in emoji world, and colours or numbers without a noun.
    """

    things: tuple[tuple[str, str | None], ...]
    relation: str | None
    background: str | None
    style: str | None
    unknown: tuple[str, ...] = ()


def expect(prompt: str) -> Expectation:
    """Read a prompt such as "a big red cat to the left of a house on grass, pixel art"."""
    things: list[tuple[str, str | None]] = []
    unknown: list[str] = []
    colour: str | None = None
    number: str | None = None
    link: str | None = None
    relation: str | None = None
    said: dict[str, str] = {}
    for kind, value, text in _read(prompt):
        if kind == "noun":
            if len(things) == 1:
                relation = link
            things += [(value, colour)] * _NUMBERS.get(number or "", 1)
            colour = number = link = None
        elif kind == "colour":
            unknown += [colour] if colour else []
            colour = value
        elif kind == "number":
            number = value
        elif kind == "unknown":
            unknown.append(text)
        elif kind != "silent":
            unknown += [word for word in (number, colour) if word]
            colour = number = None
            if kind == "relation":
                link = value if link in (None, "and", "with") else link
            elif kind != "cut" and said.setdefault(kind, value) != value:
                unknown.append(text)
    unknown += [word for word in (number, colour) if word]
    return Expectation(
        tuple(things),
        relation,
        said.get("background"),
        said.get("style"),
        tuple(dict.fromkeys(unknown)),
    )


_SILENT = """
    a an the of in on at to is are it its there this that some one 1 by up
    picture photo photograph image drawing painting scene background emoji style art showing
    large little tiny huge
"""
_RELATIONS = {
    "and": "and", "with": "with", "next to": "next to", "beside": "next to",
    "above": "above", "over": "above", "on top of": "above",
    "below": "below", "under": "below", "underneath": "below", "beneath": "below",
    "left of": "left of", "right of": "right of",
}  # fmt: skip
_NUMBERS = {"two": 2, "2": 2, "three": 3, "3": 3}
_STYLE_SPELLINGS = {
    "watercolor": "watercolour",
    "pencil drawing": "pencil sketch",
    "pixelart": "pixel art",
}
_PLURALS = {"cacti": "cactus", "butterflies": "butterfly"}

Phrases = Mapping[tuple[str, ...], tuple[str, str]]


def _phrases() -> Phrases:
    """Words of a phrase -> (kind, canonical value)."""
    table: dict[tuple[str, ...], tuple[str, str]] = {}
    for word in (*_SILENT.split(), *SIZES):
        table[(word,)] = ("silent", word)
    for noun in GLYPHS:
        plural = noun + ("es" if noun.endswith(("s", "x", "sh")) else "s")
        table[(noun,)] = table[(plural,)] = ("noun", noun)
    table |= {(plural,): ("noun", noun) for plural, noun in _PLURALS.items()}
    table |= {(colour,): ("colour", colour) for colour in COLOURS}
    table |= {(number,): ("number", number) for number in _NUMBERS}
    table |= {tuple(said.split()): ("relation", name) for said, name in _RELATIONS.items()}
    # "plain" alone is an ordinary adjective.
    table |= {(name,): ("background", name) for name in BACKGROUNDS if name != "plain"}
    table["plain", "background"] = ("background", "plain")
    spellings = {style: style for style in STYLES} | _STYLE_SPELLINGS
    table |= {tuple(said.split()): ("style", name) for said, name in spellings.items()}
    table |= {(mark,): ("cut", mark) for mark in ",.;:!?&+|()"}
    return MappingProxyType(table)


_PHRASES = _phrases()
_LONGEST = max(map(len, _PHRASES))


def _read(prompt: str) -> list[tuple[str, str, str]]:
    """(kind, value, text) of each phrase, the longest first; a comma is a phrase of its own."""
    plain = re.sub(r"['’]s\b", "", prompt.casefold()).replace("-", " ")
    words = re.findall(r"\w+|[^\w\s]", plain)
    found: list[tuple[str, str, str]] = []
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            part = tuple(words[at : at + length])
            if part in _PHRASES:
                found.append((*_PHRASES[part], " ".join(part)))
                at += length
                break
        else:
            if unicodedata.category(words[at][0])[0] in "LNS":  # letters, digits, emoji
                found.append(("unknown", words[at], words[at]))
            at += 1
    return found
