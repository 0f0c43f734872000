"""A text as the reader sees it: characters with their marks, units, and words.

A cluster is one written character with its accents, emoji joiners and variation selectors (a simple
form of Unicode's UAX 29). It is folded for comparison: NFC, case folded, blanks as one blank,
typographic hyphens and apostrophes as plain ones, so that "Café" in NFD equals "café" in NFC. A
unit is a run of letters and digits, or one sign, or one character of a script without blanks. A
word for display joins what hyphens, apostrophes and such scripts hold together ("t-shirt", "黑猫").
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Cluster",
    "Kind",
    "Span",
    "blank_words",
    "clusters",
    "fold",
    "quoted",
    "shown_words",
    "units",
]

Span = tuple[int, int]
"""Characters [start, end) of a text."""


class Kind(Enum):
    """What a cluster does to the word around it."""

    BLANK = "blank"
    WORD = "word"  # letters and digits of scripts that put blanks between words
    HANGUL = "hangul"  # blanks between words, but particles are written onto the noun
    KATAKANA = "katakana"  # no blanks, yet a run is mostly one word
    FREE = "free"  # Han, Hiragana, Thai, …: no blanks, so a word may start anywhere
    JOINER = "joiner"  # hyphen, apostrophe, underscore
    SIGN = "sign"  # punctuation, emoji, symbols


@dataclass(frozen=True)
class Cluster:
    """Characters [start, end) of the text, how they compare, and what they are."""

    start: int
    end: int
    folded: str
    kind: Kind


_HYPHENS = "-\u2010\u2011"
_APOSTROPHES = "'\u2018\u2019\u02bc"
_JOINERS = frozenset(_HYPHENS + _APOSTROPHES + "_")
_PLAIN = str.maketrans(
    {**dict.fromkeys(_HYPHENS, "-"), **dict.fromkeys(_APOSTROPHES, "'"), "\ufe0e": "", "\ufe0f": ""}
)
_FREE_SCRIPTS = frozenset("CJK HIRAGANA IDEOGRAPHIC THAI LAO KHMER MYANMAR TIBETAN".split())
_MOST_QUOTED = 300
_ZERO_WIDTH_JOINER = "\u200d"


def clusters(text: str) -> tuple[Cluster, ...]:
    """The text cut into clusters; together they cover every character."""
    return tuple(_clusters(text))


def fold(text: str) -> str:
    """How a text compares: equal for equal words whatever their case or composition."""
    return "".join(cluster.folded for cluster in _clusters(text.strip()))


def units(text: str) -> tuple[Span, ...]:
    """Spans of what an alignment treats as one thing; blanks belong to none."""
    runs = {Kind.WORD, Kind.HANGUL, Kind.KATAKANA}
    found: list[tuple[Kind, Span]] = []
    for cluster in _clusters(text):
        kind, span = cluster.kind, (cluster.start, cluster.end)
        if found and kind in runs and found[-1][0] is kind and found[-1][1][1] == cluster.start:
            found[-1] = kind, (found[-1][1][0], cluster.end)
        else:
            found.append((kind, span))
    return tuple(span for kind, span in found if kind is not Kind.BLANK)


def blank_words(text: str) -> tuple[Span, ...]:
    """Spans between blanks, punctuation included: the words that a word swap counts."""
    found: list[Span] = []
    after_blank = True
    for cluster in _clusters(text):
        if cluster.kind is Kind.BLANK:
            after_blank = True
        elif after_blank:
            found.append((cluster.start, cluster.end))
            after_blank = False
        else:
            found[-1] = found[-1][0], cluster.end
    return tuple(found)


def shown_words(text: str) -> tuple[Span, ...]:
    """Spans of the words as a list for the reader shows them: no punctuation, emoji one by one."""
    found: list[Span] = []
    parts = [*_clusters(text)]
    before = Kind.BLANK
    for i, cluster in enumerate(parts):
        kind = cluster.kind
        after = parts[i + 1].kind if i + 1 < len(parts) else Kind.BLANK
        if kind is Kind.JOINER and not (_lettered(before) and _lettered(after)):
            kind = Kind.BLANK
        if kind is Kind.SIGN:
            if unicodedata.category(text[cluster.start])[0] != "P":
                found.append((cluster.start, cluster.end))
        elif kind is not Kind.BLANK:
            if _lettered(before) or before is Kind.JOINER:
                found[-1] = found[-1][0], cluster.end
            else:
                found.append((cluster.start, cluster.end))
        before = kind
    return tuple(found)


def quoted(text: str) -> str:
    """The text as a message quotes it: a long one is shortened."""
    return repr(text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "…")


def _lettered(kind: Kind) -> bool:
    return kind not in (Kind.BLANK, Kind.JOINER, Kind.SIGN)


def _clusters(text: str) -> Iterator[Cluster]:
    start = 0
    while start < len(text):
        end = _end(text, start)
        piece = text[start:end]
        if piece.isspace():
            yield Cluster(start, end, " ", Kind.BLANK)
        else:
            plain = unicodedata.normalize("NFC", piece).translate(_PLAIN).casefold()
            yield Cluster(start, end, unicodedata.normalize("NFC", plain), _kind(piece[0]))
        start = end


def _end(text: str, start: int) -> int:
    """Where the cluster (or the run of blanks) that begins at `start` ends."""
    end = start + 1
    if text[start].isspace():
        while end < len(text) and text[end].isspace():
            end += 1
        return end
    if _is_flag_letter(text[start]) and end < len(text) and _is_flag_letter(text[end]):
        end += 1
    while end < len(text) and (_extends(text[end]) or _is_joined(text, end)):
        end += 1
    return end


def _extends(sign: str) -> bool:
    """Marks, selectors, joiners, skin tones, flag tags and the later parts of a Hangul syllable."""
    return (
        unicodedata.category(sign)[0] == "M"
        or sign in "\u200c\u200d"
        or "\u1160" <= sign <= "\u11ff"
        or "\U0001f3fb" <= sign <= "\U0001f3ff"
        or "\U000e0020" <= sign <= "\U000e007f"
    )


def _is_joined(text: str, at: int) -> bool:
    return text[at - 1] == _ZERO_WIDTH_JOINER and unicodedata.category(text[at]) == "So"


def _is_flag_letter(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def _kind(first: str) -> Kind:
    if first in _JOINERS:
        return Kind.JOINER
    if unicodedata.category(first)[0] not in "LNM":
        return Kind.SIGN
    name = unicodedata.name(first, "")
    script = name.replace("HALFWIDTH ", "").partition(" ")[0]
    if script in _FREE_SCRIPTS:
        return Kind.FREE
    if script == "HANGUL":
        return Kind.HANGUL
    # The long-vowel mark is called KATAKANA-HIRAGANA …
    return Kind.KATAKANA if script.partition("-")[0] == "KATAKANA" else Kind.WORD
