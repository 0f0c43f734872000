"""Whether a picture shows what its prompt asked for: what the judge saw against an expectation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .expect import Expectation
from .relations import holds
from .render import Scene

__all__ = ["OWN_COLOURS", "Score", "ThingScore", "score", "wears"]

# ours: glyphs that wear a colour untinted. A heart in its own colours is a red heart to anyone.
OWN_COLOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cat": ("orange", "yellow"), "frog": ("green",), "apple": ("red",), "car": ("red",),
        "balloon": ("red",), "clock": ("red",), "crown": ("yellow",), "tree": ("green",),
        "star": ("yellow",), "flower": ("yellow", "orange"), "fish": ("blue",), "bird": ("blue",),
        "ball": ("white",), "book": ("red",), "bell": ("yellow",), "key": ("yellow",),
        "pumpkin": ("orange",), "mushroom": ("red",), "umbrella": ("blue", "purple"),
        "guitar": ("red",), "cup": ("white",), "lamp": ("yellow",), "heart": ("red",),
        "gift": ("orange",), "turtle": ("green",), "moon": ("yellow",), "butterfly": ("orange",),
        "shoe": ("blue",), "rabbit": ("white",), "cactus": ("green",),
    }
)  # fmt: skip


@dataclass(frozen=True)
class ThingScore:
    """One thing of the prompt.

    colour_ok:   None when the prompt states no colour, False when the thing is missing.
    colour_seen: the tint, None for a missing thing or the glyph's own colours.
    """

    noun: str
    colour: str | None
    found: bool
    colour_ok: bool | None
    colour_seen: str | None


@dataclass(frozen=True)
class Score:
    """What of an expectation a scene fulfils; None where the prompt does not say.

    nouns_ok:    every thing is there, as often as asked for.
    colours_ok:  every stated colour is on its noun; None in pencil sketches, which are grey.
    relation_ok: the first two things are there and stand so (`relations.holds` on their boxes).
    extra:       nouns that were seen and not asked for, in the order of the scene.
    """

    nouns_ok: bool | None
    colours_ok: bool | None
    relation_ok: bool | None
    background_ok: bool | None
    style_ok: bool | None
    extra: tuple[str, ...]
    things: tuple[ThingScore, ...]
    expectation: Expectation
    background_seen: str
    style_seen: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing that the prompt says failed; extra things do no harm."""
        things = (self.nouns_ok, self.colours_ok, self.relation_ok)
        return False not in (*things, self.background_ok, self.style_ok)

    def text(self) -> str:
        """One line such as "cat ✓ red ✓ · balloon missing · grass ✗ (snow seen)"."""
        asked = self.expectation
        parts = [_thing_text(thing) for thing in self.things]
        if asked.relation not in (None, "and", "with"):
            parts.append(f"{asked.relation} {_mark(self.relation_ok)}")
        if asked.background is not None:
            seen = "" if self.background_ok else f" ({self.background_seen} seen)"
            parts.append(f"{asked.background} {_mark(self.background_ok)}{seen}")
        if asked.style is not None:
            seen = "" if self.style_ok else f" ({self.style_seen or 'no style'} seen)"
            parts.append(f"{asked.style} {_mark(self.style_ok)}{seen}")
        if self.extra:
            parts.append("also seen: " + ", ".join(self.extra))
        return " · ".join(parts) if parts else "nothing asked for, nothing seen"


def score(scene: Scene, expectation: Expectation) -> Score:
    """Compare; each thing seen answers for one thing asked, the right colour first."""
    asked = expectation.things
    grey = "pencil sketch" in (expectation.style, scene.style)
    match = _match(scene, expectation)
    things = tuple(
        _thing(noun, None if grey else colour, colour, scene, at)
        for (noun, colour), at in zip(asked, match, strict=True)
    )
    stated = [thing.colour_ok for thing in things if thing.colour_ok is not None]
    relation_ok = None
    if expectation.relation is not None and len(asked) > 1:
        first, second = match[:2]
        relation_ok = (
            first is not None
            and second is not None
            and holds(expectation.relation, scene.boxes[first], scene.boxes[second])
        )
    return Score(
        nouns_ok=all(thing.found for thing in things) if things else None,
        colours_ok=all(stated) if stated else None,
        relation_ok=relation_ok,
        background_ok=_same(expectation.background, scene.background),
        style_ok=_same(expectation.style, scene.style),
        extra=tuple(noun for i, noun in enumerate(scene.nouns) if i not in match),
        things=things,
        expectation=expectation,
        background_seen=scene.background,
        style_seen=scene.style,
    )


def _match(scene: Scene, expectation: Expectation) -> list[int | None]:
    """For each thing asked the index of a thing seen: first those in the stated colour."""
    match: list[int | None] = [None] * len(expectation.things)
    for strict in (True, False):
        for i, (noun, colour) in enumerate(expectation.things):
            if match[i] is not None or (strict and colour is None):
                continue
            match[i] = next(
                (
                    at
                    for at, seen in enumerate(scene.nouns)
                    if seen == noun
                    and at not in match
                    and (not strict or wears(noun, scene.colours[at], colour))
                ),
                None,
            )
    return match


def _thing(
    noun: str, colour: str | None, said: str | None, scene: Scene, at: int | None
) -> ThingScore:
    if at is None:
        return ThingScore(noun, said, False, None if colour is None else False, None)
    seen = scene.colours[at]
    colour_ok = None if colour is None else wears(noun, seen, colour)
    return ThingScore(noun, said, True, colour_ok, seen)


def wears(noun: str, seen: str | None, colour: str | None) -> bool:
    """Whether a thing seen in a tint, None = its own colours, is one of that colour."""
    return seen == colour or (seen is None and colour in OWN_COLOURS.get(noun, ()))


def _same(asked: str | None, seen: str | None) -> bool | None:
    return None if asked is None else asked == seen


def _thing_text(thing: ThingScore) -> str:
    if not thing.found:
        return f"{thing.noun} missing"
    if thing.colour_ok is None:
        return f"{thing.noun} ✓"
    seen = "" if thing.colour_ok else f" ({thing.colour_seen or 'its own colours'} seen)"
    return f"{thing.noun} ✓ {thing.colour} {_mark(thing.colour_ok)}{seen}"


def _mark(ok: bool | None) -> str:
    return "✓" if ok else "✗"
