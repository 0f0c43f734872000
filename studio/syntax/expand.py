"""From what prompts say to what a recipe holds: prompts, controls, and what is said differently.

    weights             reweight_words, scaling the row's own maps (elsewhere: scaled embeddings)
    .swap()             a source and an edit with replace_words, or refine_words where the numbers
                        of words differ, and keep_layout
    [from:to:when]      schedule_prompt

As in InvokeAI an edit whose intervals begin late is its source until then. Differs: behind t_end
it goes on with its own words, where InvokeAI went back to those of the source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..processors.prompts.units import blank_words
from .parse import Parsed, Stage, parse
from .reweighting import reweighting

__all__ = ["Expanded", "apply_syntax", "to_recipe_parts"]

Spec = dict[str, Any]
Interval = tuple[float, float]

_MOST_STAGES = 64  # what a recipe takes
_FOREIGN = (
    (re.compile(r"(?<!\S)(?:AND|BREAK)(?!\S)"), "{} is a word like others here"),
    (re.compile(r"<(?:lora|lyco|hypernet):[^<>]{0,200}>"), "{} loads nothing here: text"),
)


@dataclass(frozen=True)
class Expanded:
    """The parts of a recipe. controls: as a recipe writes them, in the order of their action."""

    prompts: tuple[str, ...]
    controls: tuple[Spec, ...] = ()
    warnings: tuple[str, ...] = ()


def apply_syntax(prompts: Sequence[str], *, steps: int, is_edit: bool = False) -> Expanded:
    """Reads the syntax of all prompts of a run of so many steps.

    is_edit: the first prompt is the source and the others are its edits; with .swap() they are.

    ValueError for a .swap() in one of several prompts.
    """
    read = [parse(prompt, steps=steps) for prompt in prompts]
    if len(read) == 1:
        return to_recipe_parts(read[0])
    if any(parsed.swaps for parsed in read):
        raise ValueError(
            f"prompts: .swap() makes an edit of its own, and came in one of {len(read)} prompts; "
            "expected that prompt alone"
        )
    return _expanded([parsed.stages for parsed in read], [], _said(read), is_edit=is_edit)


def to_recipe_parts(parsed: Parsed) -> Expanded:
    """The prompt, or the source and its edit, with their controls."""
    said = _said([parsed])
    if not parsed.swaps:
        return _expanded([parsed.stages], [], said, is_edit=False)
    controls = _following(parsed, said)
    edit = _begun_late(parsed)
    return _expanded([parsed.stages, edit], controls, said, is_edit=bool(controls))


def _expanded(
    runs: Sequence[Sequence[Stage]], controls: list[Spec], said: list[str], *, is_edit: bool
) -> Expanded:
    """runs: the stages of each prompt; in the text of its first one words are looked up."""
    weighed, more = reweighting(runs, is_edit=is_edit)
    later = [
        [[stage.start, stage.text] for stage in stages[1 : _MOST_STAGES + 1]] for stages in runs
    ]
    if any(len(stages) > _MOST_STAGES + 1 for stages in runs):
        said.append(f"a prompt changes more than {_MOST_STAGES} times; then it stays as it is")
    scheduled = [{"control": "schedule_prompt", "later": later}] if any(later) else []
    return Expanded(
        prompts=tuple(stages[0].text for stages in runs),
        controls=(*controls, *weighed, *scheduled),
        warnings=tuple(dict.fromkeys((*said, *more))),
    )


def _following(parsed: Parsed, said: list[str]) -> list[Spec]:
    """The controls by which the edit follows its source."""
    change = min((stage.start for stage in (*parsed.schedule, *parsed.edit[1:])), default=1.0)

    def ended(interval: Interval) -> list[float]:
        start, end = interval
        return [start, max(start, min(end, change))]

    controls: list[Spec] = []
    words = [swap.words for swap in parsed.swaps]
    layouts = [swap.layout for swap in parsed.swaps]
    hull = min(a for a, _ in words), max(b for _, b in words)
    if change < hull[1]:
        said.append("words follow the source only until the prompt changes")
    if ended(hull)[0] < ended(hull)[1]:
        counts = {len(blank_words(text)) for text in (parsed.text, parsed.edit[0].text)}
        control = "replace_words" if len(counts) == 1 else "refine_words"
        controls.append({"control": control, "during": ended(hull)})
        if len(set(words)) > 1:
            own = {swap.edit.strip(): ended(swap.words) for swap in parsed.swaps}
            controls[-1]["words"] = {word: own[word] for word in own if word}
    kept = [(start, end) for start, end in layouts if start < end]
    if kept:
        during = [min(a for a, _ in kept), max(b for _, b in kept)]
        controls.append({"control": "keep_layout", "during": during})
    if len(set(layouts)) > 1:
        said.append("the layout is one for all swaps: kept from the first interval to the last")
    if not controls:
        said.append(".swap(): its intervals are empty, so nothing ties the edit to its source")
    return controls


def _begun_late(parsed: Parsed) -> tuple[Stage, ...]:
    """The edit's stages; before its first interval it is the source."""
    intervals = [i for swap in parsed.swaps for i in (swap.words, swap.layout)]
    begin = min((start for start, end in intervals if start < end), default=0.0)
    if begin == 0:
        return parsed.edit
    before = [stage for stage in parsed.stages if stage.start < begin]
    begun = [stage for stage in parsed.edit if stage.start <= begin][-1]
    after = [stage for stage in parsed.edit if stage.start > begin]
    return (parsed.edit[0], *before, replace(begun, start=begin), *after)


def _said(read: Sequence[Parsed]) -> list[str]:
    """What the prompts' own warnings are, and which syntax is not ours."""
    said = [warning for parsed in read for warning in parsed.warnings]
    for parsed in read:
        for pattern, sentence in _FOREIGN:
            found = dict.fromkeys(match.group() for match in pattern.finditer(parsed.text))
            said += [sentence.format(text) for text in list(found)[:3]]
    return said
