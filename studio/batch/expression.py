"""Expressions over figures, such as `psnr_outside >= 28 and effect == 'visible'`.

    or < and < not < comparison (may be chained) < + - < * / < - < number, 'text', name, ( )

Nothing is evaluated by Python: the text becomes a tree of small functions. A comparison with a
figure that is not known is false.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .figures import NAMES, value_of

__all__ = ["Expression", "read_expression"]

Value: TypeAlias = float | str | bool | None
Expression: TypeAlias = Callable[[Mapping[str, Any]], Value]
"""Figures of an edit or a picture -> its value."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign><=|>=|==|!=|[<>()+*/-]))",
    re.ASCII,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS: dict[str, Value] = {"true": True, "false": False}
_LONGEST, _DEEPEST = 1000, 32
_SAMPLE = {name: True if name.endswith("_ok") else 1.0 for name in NAMES} | {"effect": "visible"}


def read_expression(text: str, name: str) -> Expression:
    """ValueError, which begins with `name`, for what is no expression."""
    if len(text) > _LONGEST:
        raise ValueError(f"{name}: it has {len(text)} characters; expected at most {_LONGEST}")
    reader = _Reader(text, name)
    found = reader.either()
    reader.end()
    found(_SAMPLE)  # a number compared with a text is said now, not after the work
    return found


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._name, self._depth = name, 0
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(f"{text[at:].strip()[:20]!r} is not understood")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            at = match.end()

    def end(self) -> None:
        if self._tokens:
            raise self._error(f"{self._tokens[0][1]!r} came where it should end")

    def either(self) -> Expression:
        left = self._both()
        while self._take("or"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Expression:
        left = self._negated()
        while self._take("and"):
            left = _and(left, self._negated())
        return left

    def _negated(self) -> Expression:
        if self._take("not"):
            found = self._deeper(self._negated)
            return lambda figures: not found(figures)
        return self._comparison()

    def _comparison(self) -> Expression:
        left, tests = self._sum(), []
        while (sign := self._take(*_COMPARE)) is not None:
            right = self._sum()
            tests.append(self._compare(sign, left, right))
            left = right
        return left if not tests else lambda figures: all(test(figures) for test in tests)

    def _compare(self, sign: str, left: Expression, right: Expression) -> Expression:
        holds = _COMPARE[sign]

        def compare(figures: Mapping[str, Any]) -> bool:
            a, b = left(figures), right(figures)
            if a is None or b is None:
                return False
            if isinstance(a, str) != isinstance(b, str):
                raise self._error(f"{a!r:.40} and {b!r:.40} cannot be compared")
            return holds(a, b)

        return compare

    def _sum(self) -> Expression:
        left = self._product()
        while (sign := self._take("+", "-")) is not None:
            left = self._calculate(
                operator.add if sign == "+" else operator.sub, left, self._product()
            )
        return left

    def _product(self) -> Expression:
        left = self._atom()
        while (sign := self._take("*", "/")) is not None:
            left = self._calculate(operator.mul if sign == "*" else _divided, left, self._atom())
        return left

    def _calculate(
        self, of: Callable[[float, float], Value], left: Expression, right: Expression
    ) -> Expression:
        def calculate(figures: Mapping[str, Any]) -> Value:
            a, b = left(figures), right(figures)
            if isinstance(a, str) or isinstance(b, str):
                raise self._error("a text is no number to calculate with")
            return None if a is None or b is None else of(a, b)

        return calculate

    def _atom(self) -> Expression:
        if self._take("-"):
            minus = self._deeper(self._atom)
            return self._calculate(operator.sub, lambda _: 0.0, minus)
        if self._take("("):
            inner = self._deeper(self.either)
            if not self._take(")"):
                raise self._error("a bracket is not closed")
            return inner
        kind, text = self._tokens.pop(0) if self._tokens else ("", "its end")
        if kind == "number":
            number = float(text)
            return lambda _: number
        if kind == "text":
            return lambda _: text[1:-1]
        if kind == "name" and text in _WORDS:
            return lambda _: _WORDS[text]
        if kind == "name" and text in NAMES:
            return lambda figures: value_of(figures, text)
        if kind == "name":
            raise self._error(f"there is no figure {text!r}; figures: {', '.join(NAMES)}")
        raise self._error(f"{text!r} came where a figure or number should stand")

    def _deeper(self, read: Callable[[], Expression]) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(f"it is nested more than {_DEEPEST} deep")
        found = read()
        self._depth -= 1
        return found

    def _take(self, *signs: str) -> str | None:
        kind, text = self._tokens[0] if self._tokens else ("", "")
        if text not in signs or kind not in ("name", "sign"):
            return None
        self._tokens.pop(0)
        return text

    def _error(self, said: str) -> ValueError:
        return ValueError(f"{self._name}: {said}")


def _or(left: Expression, right: Expression) -> Expression:
    return lambda figures: left(figures) or right(figures)


def _and(left: Expression, right: Expression) -> Expression:
    return lambda figures: left(figures) and right(figures)


def _divided(a: float, b: float) -> float | None:
    return a / b if b else None
