"""From weights of places in a text to `reweight_words`, which knows words and not places.

A recipe weighs a word in the prompts of a run; in an edit only in all prompts or in all edits. A
weight w of the source and v of the edits is w in all of them and v / w in the edits.

Where a text changes in the run its later words stand at other tokens. So a weight holds for the
whole run only for words in front of every change, else as long as its text does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..processors.prompts import MissingWordError, find_spans, shown_words
from ..processors.prompts.units import fold
from .parse import Stage, Weight

__all__ = ["holds", "reweighting"]

Spec = dict[str, Any]
Interval = tuple[float, float]
Wanted = dict[str, tuple[str, float, Interval]]
"""By folded phrase: the phrase, its weight, and when."""

_SIGNS = " \t\r\n,.;:!?"
_MOST_PHRASES, _LONGEST = 64, 400  # what a recipe takes


def holds(stages: Sequence[Stage]) -> Interval:
    """The first part of the run in which the text is that of stages[0]."""
    rest = list(stages)
    while len(rest) > 1 and rest[1].start == rest[0].start:  # it begins with another one
        rest = rest[1:]
    for i, stage in enumerate(rest):
        if stage.text == stages[0].text:
            return stage.start, next((later.start for later in rest[i + 1 :]), 1.0)
    return 0.0, 0.0


def reweighting(
    runs: Sequence[Sequence[Stage]], *, is_edit: bool
) -> tuple[list[Spec], tuple[str, ...]]:
    """The controls for the stages of each prompt, and what cannot be said with them."""
    said: list[str] = []
    spans = [holds(stages) for stages in runs]
    if is_edit:
        spans = [(max(a for a, _ in spans), min(b for _, b in spans))] * len(runs)
    wanted = [_wanted(stages, span, said) for stages, span in zip(runs, spans, strict=True)]
    given: dict[tuple[tuple[int, ...], Interval], dict[str, float]] = {}
    everyone, edits = tuple(range(len(runs))), tuple(range(1, len(runs)))

    def give(prompts: tuple[int, ...], during: Interval, phrase: str, weight: float) -> None:
        if weight != 1:
            given.setdefault((prompts, during), {})[phrase] = round(weight, 6)

    for key in dict.fromkeys(key for of_prompt in wanted for key in of_prompt):
        asked = {p: found[key] for p, found in enumerate(wanted) if key in found}
        phrase = next(iter(asked.values()))[0]
        if not is_edit:
            for other in dict.fromkeys(asked.values()):
                prompts = tuple(p for p in asked if asked[p] == other)
                give(prompts, other[2], phrase, other[1])
            continue
        during = max(a[2][0] for a in asked.values()), min(a[2][1] for a in asked.values())
        homes = [p for p in everyone if _spans(runs[p][0].text, phrase)]
        of_edits = {asked[p][1] if p in asked else 1.0 for p in homes if p}
        if len(of_edits) > 1:
            said.append(f"{phrase!r} has another weight in each edit: {max(of_edits):g} in all")
        first, then = (asked[0][1] if 0 in asked else 1.0), max(of_edits, default=None)
        if during[0] >= during[1]:
            said.append(f"{phrase!r}: source and edit are never read together, so no weight")
        elif 0 not in homes and then is not None:
            give(everyone, during, phrase, then)
        elif first == 0 and then:
            said.append(f"{phrase!r} has no weight in the source, so its weight in edits is lost")
            give(everyone, during, phrase, 0.0)
        else:
            give(everyone, during, phrase, first)
            give(edits, during, phrase, 1.0 if then is None else then / (first or 1.0))
    return [
        {
            "control": "reweight_words",
            "weights": dict(part),
            "prompts": list(prompts),
            "during": list(during),
        }
        for (prompts, during), weights in given.items()
        for part in _parts(list(weights.items()))
    ], tuple(dict.fromkeys(said))


def _parts(items: list[tuple[str, float]]) -> list[list[tuple[str, float]]]:
    return [items[i : i + _MOST_PHRASES] for i in range(0, len(items), _MOST_PHRASES)]


def _wanted(stages: Sequence[Stage], span: Interval, said: list[str]) -> Wanted:
    """What is asked for one prompt."""
    text = stages[0].text
    steady = _steady(list(dict.fromkeys(stage.text for stage in stages)))
    lost = {w.phrase for stage in stages[1:] for w in stage.weights if w.span[1] > steady}
    lost -= {w.phrase for w in stages[0].weights}
    said += [f"{phrase[:60]!r}: weights in later texts are not carried out" for phrase in lost]
    found: Wanted = {}
    spans: dict[str, tuple[tuple[int, int], ...]] = {}
    places: dict[str, int] = {}
    for weight in (part for whole in stages[0].weights for part in _short(text, whole)):
        if weight.phrase not in spans and len(spans) == _MOST_PHRASES:
            said.append(f"more than {_MOST_PHRASES} phrases are weighed; the others get no weight")
            break
        phrase = _findable(text, weight, spans, said)
        during = (0.0, 1.0) if weight.span[1] <= steady else span
        if phrase is None:
            continue
        if during[0] >= during[1]:
            said.append(f"{phrase!r}: its text is never read, so its weight is lost")
            continue
        if during != (0.0, 1.0):
            said.append(f"{phrase!r}: its weight holds only while its text does")
        key = fold(phrase)
        places[key] = places.get(key, 0) + 1
        kept = found.setdefault(key, (phrase, weight.weight, during))
        if kept[1] != weight.weight:
            said.append(f"{kept[0]!r} has several weights in one text: {kept[1]:g} everywhere")
    for key, (phrase, weight_of, _) in found.items():
        there = len(_spans(text, phrase))
        if there > places[key]:
            said.append(f"{phrase!r} stands {there} times in the text: {weight_of:g} everywhere")
    return found


def _steady(texts: Sequence[str]) -> int:
    """How many characters of texts[0] are words that all texts begin with."""
    low, high = min(texts), max(texts)
    pairs = enumerate(zip(low, high, strict=False))
    end = next((i for i, (a, b) in pairs if a != b), min(len(low), len(high)))
    if all(not text[end : end + 1].strip() for text in texts):
        return end
    return max((i for i in range(end) if low[i].isspace()), default=0)


def _short(text: str, weight: Weight) -> tuple[Weight, ...]:
    """The phrase without signs around it; word by word when a recipe would not take it."""
    start, end = weight.span
    inner = text[start:end].strip(_SIGNS)
    if inner:
        start = text.index(inner, start)
        end = start + len(inner)
    if end - start <= _LONGEST:
        return (Weight(text[start:end], weight.weight, (start, end)),)
    words = ((start + a, start + b) for a, b in shown_words(text[start:end]))
    return tuple(Weight(text[a:b], weight.weight, (a, b)) for a, b in words if b - a <= _LONGEST)


def _findable(
    text: str, weight: Weight, spans: dict[str, tuple[tuple[int, int], ...]], said: list[str]
) -> str | None:
    """The phrase by which a control finds the place: a part of a word is found by the word.

    spans: of the phrases that were looked for already.
    """
    if weight.phrase not in spans:
        spans[weight.phrase] = _spans(text, weight.phrase)
    if weight.span in spans[weight.phrase]:
        return weight.phrase
    start, end = weight.span
    around = [(a, b) for a, b in shown_words(text) if a < end and start < b]
    if not around:
        said.append(f"{weight.phrase!r} is no word, so it gets no weight")
        return None
    phrase = text[min(start, around[0][0]) : max(end, around[-1][1])]
    if len(phrase) > _LONGEST or not _spans(text, phrase):
        said.append(f"{weight.phrase!r} cannot be told from what is around it: no weight")
        return None
    said.append(f"{weight.phrase!r} is a part of {phrase!r}, which gets its weight")
    return phrase


def _spans(text: str, phrase: str) -> tuple[tuple[int, int], ...]:
    try:
        return find_spans(text, phrase)
    except MissingWordError:
        return ()
