"""Random plans: placement, words, and the split into what training sees and what it never does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .plan import Box, Plan, Thing, caption
from .relations import holds
from .words import (
    BACKGROUNDS,
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_PAIRS,
    NOUNS,
    RELATIONS,
    SIZES,
    STYLES,
)

__all__ = ["is_held_out", "sample_plan"]

# Width of a thing as a fraction of the picture, by number of things, then by size word.
_WIDTHS: dict[int, dict[str | None, tuple[float, float]]] = {
    1: {None: (0.36, 0.50), "big": (0.56, 0.70), "small": (0.24, 0.32)},
    2: {None: (0.32, 0.46), "big": (0.46, 0.56), "small": (0.22, 0.29)},
    3: {None: (0.28, 0.38), "big": (0.38, 0.44), "small": (0.20, 0.25)},
}
_MARGIN = 0.015  # kept free at the border, so that no thing is cut
_TRIES = 200


def is_held_out(plan: Plan) -> bool:
    """Whether the scene shows a noun pair or a colour on a noun that training never sees."""
    nouns = [thing.noun for thing in plan.things]
    return _pair_held_out(nouns) or any(
        HELD_OUT_COLOURS.get(thing.noun) == thing.colour and thing.colour for thing in plan.things
    )


def sample_plan(
    rng: np.random.Generator,
    *,
    nouns: Sequence[str] = NOUNS,
    count: int | None = None,
    held_out: bool | None = False,
    style: str | None | bool = True,
    colours: float = 0.6,
    relations: Sequence[str] = RELATIONS,
) -> Plan:
    """Draw one plan.

    nouns:    the nouns to choose from.
    count:    number of things, 1 to 3; None draws it with odds 0.4 : 0.45 : 0.15.
    held_out: False = only what training may see, True = at least one combination that it never
              sees, None = anything.
    style:    a style's name, None or False for none, True to draw one in a sixth of the plans.
    colours:  probability that a thing is tinted; 0 in pencil sketches, which are grey.
    relations: what two things' relation is chosen from, each as likely as often as it stands there.
    """
    for _ in range(_TRIES):
        plain = held_out is not False
        plan = _draw(rng, nouns, count, style, colours, relations, plain_words=plain)
        if plan is not None and (held_out is None or is_held_out(plan) is held_out):
            return plan
    raise ValueError(f"nouns: no plan with held_out={held_out} among {list(nouns)!r}")


def _draw(
    rng: np.random.Generator,
    nouns: Sequence[str],
    count: int | None,
    style: str | None | bool,
    colours: float,
    relations: Sequence[str],
    *,
    plain_words: bool,
) -> Plan | None:
    n = int(rng.choice(3, p=(0.4, 0.45, 0.15))) + 1 if count is None else count
    if style is True:
        style = str(rng.choice(STYLES)) if rng.random() < 1 / 6 else None
    style = style or None
    if style:  # small or crowded things cannot be told apart in blocks or washes
        n = min(n, 2)
    if n > len(nouns):
        raise ValueError(f"nouns: came {', '.join(nouns)}; a scene of {n} things needs {n} or more")
    names = [str(name) for name in rng.choice(np.asarray(nouns), size=n, replace=False)]
    tinted = [style != "pencil sketch" and rng.random() < colours for _ in names]
    tints = [str(rng.choice(list(COLOURS))) if yes else None for yes in tinted]
    sizes = [str(rng.choice(SIZES)) if rng.random() < 0.25 else None for _ in names]
    if style:
        sizes = [size if size == "big" else None for size in sizes]
    relation = str(rng.choice(list(relations))) if n == 2 else None
    boxes = _place(rng, sizes, relation)
    if boxes is None:
        return None
    things = tuple(Thing(*parts) for parts in zip(names, tints, sizes, boxes, strict=True))
    background = str(rng.choice(list(BACKGROUNDS)))
    said = background if plain_words or rng.random() < 0.9 else None
    articles = plain_words or rng.random() < 0.9
    text = caption(things, relation, said, style, articles=articles)
    return Plan(things, relation, background, style, text, int(rng.integers(2**31)))


def _pair_held_out(nouns: Sequence[str]) -> bool:
    pairs = (frozenset((a, b)) for i, a in enumerate(nouns) for b in nouns[i + 1 :])
    return any(pair in HELD_OUT_PAIRS for pair in pairs)


def _place(
    rng: np.random.Generator, sizes: Sequence[str | None], relation: str | None
) -> list[Box] | None:
    """Boxes that fit, hardly overlap and satisfy the relation; None when none were found."""
    for attempt in range(_TRIES):
        shrink = 1.0 - 0.2 * attempt / _TRIES
        boxes = []
        for size in sizes:
            width = rng.uniform(*_WIDTHS[len(sizes)][size]) * shrink
            x, y = rng.uniform(_MARGIN, 1 - _MARGIN - width, 2)
            boxes.append((x, y, x + width, y + width))
        clear = all(_apart(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        if clear and (relation is None or holds(relation, boxes[0], boxes[1])):
            return boxes
    return None


def _apart(a: Box, b: Box) -> bool:
    """At most 4 % of the smaller box is covered by the other one."""
    dx = min(a[2], b[2]) - max(a[0], b[0])
    dy = min(a[3], b[3]) - max(a[1], b[1])
    small = min(a[2] - a[0], b[2] - b[0])
    return max(dx, 0.0) * max(dy, 0.0) <= 0.04 * small * small
