"""What a prompt says: its text, weights by phrase, swaps, and how it changes in the run."""

from __future__ import annotations

from dataclasses import dataclass

from .compile import Program, SwapSides, compiled
from .program import MOST, SIDES, Run, Side, Text, heard, read_off

__all__ = ["Parsed", "Stage", "Swap", "Weight", "parse"]


@dataclass(frozen=True)
class Weight:
    """A phrase that counts more, or less, than 1.

    weight: rounded to six digits, within ± 100.    span: characters [start, end) of the text.
    """

    phrase: str
    weight: float
    span: tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """What the encoder sees from the part `start` of the run on."""

    start: float
    text: str
    weights: tuple[Weight, ...] = ()


@dataclass(frozen=True)
class Swap:
    """A phrase and what stands for it in the edit.

    words, layout: the parts of the run in which the edit looks at the words, and lays things out,
                   as the source does.
    """

    source: str
    edit: str
    words: tuple[float, float]
    layout: tuple[float, float]


@dataclass(frozen=True)
class Parsed:
    """A prompt without its syntax.

    text:      what the encoder sees at first.
    weights:   of its phrases.
    schedule:  later texts, in the order in which they begin.
    swaps:     none = there is no edit.
    edit:      the stages of the edit, the first from 0 on; empty without swaps.
    warnings:  what was malformed, or is said here differently than elsewhere.
    """

    text: str
    weights: tuple[Weight, ...] = ()
    schedule: tuple[Stage, ...] = ()
    swaps: tuple[Swap, ...] = ()
    edit: tuple[Stage, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages of the source, the first from 0 on."""
        return Stage(0.0, self.text, self.weights), *self.schedule


def parse(text: str, *, steps: int) -> Parsed:
    """Reads prompt syntax, for a run of so many steps; what is malformed is text.

    ValueError for less than one step, never for a text.
    """
    if steps < 1:
        raise ValueError(f"steps: came {steps}; expected 1 or more")
    program = compiled(text, steps)
    source = _stages(program, "source", steps)
    edit = _stages(program, "edit", steps) if program.swaps else ()
    heavy = sorted({w.phrase for s in (*source, *edit) for w in s.weights if abs(w.weight) >= MOST})
    said = tuple(f"the weight of {phrase[:60]!r} is kept at {MOST:g}" for phrase in heavy)
    return Parsed(
        text=source[0].text,
        weights=source[0].weights,
        schedule=source[1:],
        swaps=tuple(_swap(program, sides) for sides in program.swaps),
        edit=edit,
        warnings=program.warnings + said + _never(program),
    )


def _stages(program: Program, side: Side, steps: int) -> tuple[Stage, ...]:
    found: list[Stage] = []
    for step in (0, *program.changes):
        runs = read_off(program.operations, side, step)
        stage = Stage(step / steps, "".join(text for text, _ in runs), _weights(runs))
        if not found or (found[-1].text, found[-1].weights) != (stage.text, stage.weights):
            found.append(stage)
    return tuple(found)


def _never(program: Program) -> tuple[str, ...]:
    """A warning for words that nobody will ever hear, as those of a change that never comes."""
    places = (
        heard(program.operations, side, step) for side in SIDES for step in (0, *program.changes)
    )
    read = {place for found in places for place, _, _ in found}
    lost = [
        operation.text
        for place, operation in enumerate(program.operations)
        if isinstance(operation, Text) and place not in read and operation.text.strip()
    ]
    shown = ", ".join(repr(text[:60]) for text in lost[:3]) + (", …" if len(lost) > 3 else "")
    return (f"no step reads {shown}",) if lost else ()


def _weights(runs: tuple[Run, ...]) -> tuple[Weight, ...]:
    """Those that are not 1, without the blanks around their phrases."""
    found, start = [], 0
    for text, weight in runs:
        phrase, rounded = text.strip(), round(weight, 6)
        first = start + len(text) - len(text.lstrip())
        if phrase and rounded != 1:
            found.append(Weight(phrase, rounded, (first, first + len(phrase))))
        start += len(text)
    return tuple(found)


def _swap(program: Program, sides: SwapSides) -> Swap:
    """Both phrases as they are at first."""
    source = read_off(program.operations, "source", 0, (sides.start, sides.middle))
    edit = read_off(program.operations, "edit", 0, (sides.middle, sides.end))
    return Swap(
        "".join(text for text, _ in source),
        "".join(text for text, _ in edit),
        sides.options.words,
        sides.options.layout,
    )
