"""From tokens to a program: what each bracket, mark and function of the prompt syntaxes means.

AUTOMATIC1111's web UI: (word), [word], (word:1.3), [from:to:when], [to:when], [from::when], [a|b],
and a backslash before a sign that is meant literally.
compel and InvokeAI: word+, word-, (phrase)1.3, (from).swap(to, t_start=0.2, …).

What is malformed is text, sign by sign, and is said in a warning; no word is ever lost.

Differs: in the web UI a bracket that is never closed weighs all that follows; here it is text, as
in compel. The web UI drops a lone backslash. To compel (word) is no weight; here it is the web
UI's unless a weight or .swap follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .program import Close, Only, Open, Operation, Text
from .swap_options import SwapOptions, swap_options
from .tokens import read
from .weights import UP, number_inside, weight_behind

__all__ = ["Program", "SwapSides", "compiled"]

_MOST_WARNINGS = 8
_OPTION = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*([^\s\"()\[\]]*)\s*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class SwapSides:
    """Where a program has a swap: its source is operations [start, middle), its edit [middle,
    end)."""

    start: int
    middle: int
    end: int
    options: SwapOptions


@dataclass(frozen=True)
class Program:
    """A prompt to be read off.

    swaps:   in the order in which they stand.
    changes: the steps in which the text changes, rising.
    """

    operations: tuple[Operation, ...]
    swaps: tuple[SwapSides, ...]
    changes: tuple[int, ...]
    warnings: tuple[str, ...]


def compiled(text: str, steps: int) -> Program:
    """The program of a prompt for a run of so many steps."""
    return _Compiler(text, steps).run()


class _Compiler:
    """Reads tokens from left to right. `_at` says what happens where a part ends, and with which
    token to go on."""

    def __init__(self, text: str, steps: int) -> None:
        self._steps = steps
        self._found = read(text)
        self._tokens = self._found.tokens
        self._out: list[Operation] = []
        self._at: dict[int, tuple[Callable[[], None], int]] = {}
        self._literal = set(self._found.alone)
        self._swaps: list[SwapSides] = []
        self._in_swap = False
        self._changes: set[int] = set()
        self._warnings: list[str] = []

    def run(self) -> Program:
        alone = self._found.alone
        if alone:
            first, more = self._tokens[alone[0]], len(alone) - 1
            others = f", nor have {more} more brackets" if more else ""
            self._warn(
                f"{first.kind!r} at character {first.start + 1} has no partner{others}: text"
            )
        i = 0
        while i < len(self._tokens):
            if i in self._at:
                act, i = self._at.pop(i)
                act()
            else:
                i = self._read(i)
        said = tuple(dict.fromkeys(self._warnings))
        if len(said) > _MOST_WARNINGS:
            said = (*said[:_MOST_WARNINGS], f"… and {len(said) - _MOST_WARNINGS} more like these")
        return Program(tuple(self._out), tuple(self._swaps), tuple(sorted(self._changes)), said)

    def _read(self, i: int) -> int:
        """Reads what begins at token i; the token to go on with."""
        kind, partner = self._tokens[i].kind, self._found.partner.get(i, -1)
        if i in self._literal:
            pass
        elif kind == "[":
            return self._square(i, partner)
        elif kind == "word":
            return self._target(i, i, i + 1)
        elif kind in ("(", '"') and partner > i:
            return self._target(i, i + 1, partner)
        elif kind in ("swap", "operator"):
            self._leave(i)
        self._put(i)
        return i + 1

    def _target(self, i: int, first: int, end: int) -> int:
        """Token i, a word or what opens [first, end), and what is written behind it."""
        bare = first == i
        behind = end if bare else end + 1
        if self._calls("swap", behind) and not self._in_swap:
            return self._swap(first, end, behind, bare=bare)
        weighed = weight_behind(self._found, behind)
        if weighed is not None:
            weight, after = weighed
            inner = (first, end) if bare else self._unquoted(first, end)
            return self._weigh(weight, *inner, after, bare=bare)
        if self._tokens[i].kind != "(":
            self._put(i)
            return i + 1
        if self._calls("operator", behind):
            self._literal |= {i, end}
            return i
        number = number_inside(self._found, i)
        if number is None:
            return self._weigh(UP, first, end, behind)
        return self._weigh(float(number[1]), first, number[0], behind)

    def _calls(self, kind: str, i: int) -> bool:
        """Whether token i is such a function, with its brackets."""
        there = i < len(self._tokens) and self._tokens[i].kind == kind
        return there and i + 1 in self._found.partner

    def _weigh(self, weight: float, first: int, end: int, after: int, *, bare: bool = False) -> int:
        self._out.append(Open(weight))
        return self._part(first, end, lambda: self._out.append(Close()), after, bare=bare)

    def _part(
        self, first: int, end: int, act: Callable[[], None], after: int, *, bare: bool = False
    ) -> int:
        """Reads tokens [first, end), then acts, and goes on at `after`. A bare word is read here:
        what stands behind it has been understood."""
        if not bare:
            self._at[end] = (act, after)
            return first
        self._put(first)
        act()
        return after

    # .swap()

    def _swap(self, first: int, end: int, behind: int, *, bare: bool) -> int:
        bracket = behind + 1
        partner = self._found.partner[bracket]
        to_end, options = self._options(bracket, partner)
        to_first = bracket + 1
        while to_first < to_end and self._tokens[to_first].kind == "blank":
            to_first += 1
        while to_first < to_end and self._tokens[to_end - 1].kind == "blank":
            to_end -= 1
        to_first, to_end = self._unquoted(to_first, to_end)
        if not bare:
            first, end = self._unquoted(first, end)
        self._in_swap = True
        start = self._begin(Only(side="source"))

        def turn() -> None:
            self._finish(start)
            middle = self._begin(Only(side="edit"))

            def done() -> None:
                self._finish(middle)
                self._swaps.append(SwapSides(start, middle, len(self._out), options))
                self._in_swap = False

            self._at[to_end] = (done, partner + 1)

        return self._part(first, end, turn, to_first, bare=bare)

    def _unquoted(self, first: int, end: int) -> tuple[int, int]:
        """Tokens [first, end) without the quotes around all of them."""
        quoted = end - first >= 2 and self._found.partner.get(first) == end - 1
        if quoted and self._tokens[first].kind == '"':
            return first + 1, end - 1
        return first, end

    def _options(self, bracket: int, partner: int) -> tuple[int, SwapOptions]:
        """Where the replacement ends, and the options behind it."""
        end = partner
        given: dict[str, str] = {}
        for comma in reversed(self._found.separators[bracket]):
            start, stop = self._tokens[comma].end, self._tokens[end].start
            option = _OPTION.fullmatch(self._found.text, start, stop)
            if self._tokens[comma].kind != "," or option is None:
                break
            given.setdefault(option[1], option[2])
            end = comma
        options, said = swap_options(given)
        self._warnings += said
        return end, options

    def _leave(self, i: int) -> None:
        """A function that is not carried out: it and its brackets are text."""
        token = self._tokens[i]
        if i + 1 in self._found.partner:
            self._literal |= {i + 1, self._found.partner[i + 1]}
        if token.kind == "operator":
            self._warn(f"{self._found.text[token.start : token.end]}() is not carried out: text")
        elif self._in_swap:
            self._warn(".swap() within .swap(): the inner one is text")
        else:
            self._warn(".swap() has no word, quotation or (phrase) before it: text")

    # Square brackets.

    def _square(self, i: int, partner: int) -> int:
        kinds = [self._tokens[c].kind for c in self._found.separators[i]]
        parts = [c for c in self._found.separators[i] if self._tokens[c].kind != ","]
        number = number_inside(self._found, i)
        if "|" in kinds and ":" not in kinds:
            return self._alternate(i, [*parts, partner])
        if number is not None and "|" not in kinds and len(parts) <= 2:
            return self._schedule(i, partner, parts, self._when(number[1]))
        if number is not None:
            self._warn(f"[…:{number[1]}] is not of the form [from:to:when]: its signs are text")
        return self._weigh(1 / UP, i + 1, partner, partner + 1)

    def _schedule(self, i: int, partner: int, colons: list[int], step: int) -> int:
        def after() -> None:
            part = self._begin(Only(steps=(step, None)))
            self._at[colons[-1]] = (lambda: self._finish(part), partner + 1)

        if len(colons) == 1:
            after()
            return i + 1
        before = self._begin(Only(steps=(0, step)))

        def switch() -> None:
            self._finish(before)
            after()

        return self._part(i + 1, colons[0], switch, colons[0] + 1)

    def _when(self, number: str) -> int:
        """The step from which on the later text is read.

        As in the web UI since 1.6: with a decimal point a part of the run, else a number of steps.
        """
        value = float(number) * (self._steps if "." in number else 1)
        step = int(max(0.0, min(value, self._steps)))
        if step == self._steps:
            means = "part of the run" if "." in number else f"step of {self._steps}"
            self._warn(f"[…:{number}]: the change never comes; the number is a {means}")
        elif step > 0:
            self._changes.add(step)
        return step

    def _alternate(self, i: int, ends: list[int]) -> int:
        count = len(ends)
        self._changes.update(range(1, self._steps))

        def part(number: int) -> None:
            begun = self._begin(Only(turn=(number, count)))

            def act() -> None:
                self._finish(begun)
                if number + 1 < count:
                    part(number + 1)

            self._at[ends[number]] = (act, ends[number] + 1)

        part(0)
        return i + 1

    # What is written.

    def _put(self, i: int) -> None:
        token = self._tokens[i]
        text = self._found.text[token.start : token.end]
        self._out.append(Text(_ESCAPED.sub(r"\1", text) if token.kind == "word" else text))

    def _begin(self, only: Only) -> int:
        self._out.append(only)
        return len(self._out) - 1

    def _finish(self, index: int) -> None:
        only = self._out[index]
        assert isinstance(only, Only)
        self._out[index] = replace(only, end=len(self._out))

    def _warn(self, sentence: str) -> None:
        self._warnings.append(sentence)
