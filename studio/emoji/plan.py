"""A plan says what a scene holds before it is drawn: things in boxes, their relation, the place."""

from __future__ import annotations

from dataclasses import dataclass

from .words import BACKGROUNDS, article

__all__ = ["Box", "Plan", "Thing", "caption"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture, y downwards."""


@dataclass(frozen=True)
class Thing:
    """One object: noun, tint (None = the glyph's own colours), size word and square box."""

    noun: str
    colour: str | None
    size: str | None
    box: Box


@dataclass(frozen=True)
class Plan:
    """Everything a renderer needs; `texture` seeds the background's random details."""

    things: tuple[Thing, ...]
    relation: str | None
    background: str
    style: str | None
    caption: str
    texture: int


def caption(
    things: tuple[Thing, ...],
    relation: str | None,
    background: str | None,
    style: str | None,
    *,
    articles: bool = True,
) -> str:
    """The caption of a scene; what is None is not said.

    Two things are joined by the relation, three by commas and "and".
    """
    phrases = [_phrase(thing, articles) for thing in things]
    if len(phrases) == 2:
        joint = {"left of": "to the left of", "right of": "to the right of"}
        text = f"{phrases[0]} {joint.get(relation or 'and', relation or 'and')} {phrases[1]}"
    elif len(phrases) > 2:
        text = ", ".join(phrases[:-1]) + " and " + phrases[-1]
    else:
        text = phrases[0] if phrases else ""
    if background is not None:
        text = f"{text} {BACKGROUNDS[background]}".strip()
    return f"{text}, {style}" if style else text


def _phrase(thing: Thing, articles: bool) -> str:
    words = [word for word in (thing.size, thing.colour, thing.noun) if word]
    return " ".join(([article(words[0])] if articles else []) + words)
