"""The judge as the suites see it: a function from pictures to scenes, and its own accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from PIL.Image import Image

from ..emoji.render import Scene

__all__ = ["Judge", "accuracy_lines", "judge_accuracy", "judge_digest", "the_judge"]

Judge: TypeAlias = Callable[[Sequence[Image]], Sequence[Scene]]
"""What the pictures show, in their order."""

_HOME = Path(__file__).resolve().parents[1] / "emoji" / "weights" / "judge"
_CARD = _HOME / "card.json"


def the_judge() -> Judge:
    """The packaged judge."""
    from ..emoji import judge_many

    return judge_many


def judge_accuracy(card: Path = _CARD) -> Mapping[str, object]:
    """The judge's figures on rendered truth, from its card; empty when it has none yet.

    Figures inside figures are named "outer, inner".
    """
    if not card.is_file():
        return {}
    facts = json.loads(card.read_text(encoding="utf-8"))
    return dict(_flat(facts.get("figures", {})))


def judge_digest() -> str:
    """Of the packaged judge's weights, where pictures depend on what it sees."""
    return sha256((_HOME / "judge.safetensors").read_bytes()).hexdigest()[:16]


def accuracy_lines(figures: Mapping[str, object]) -> list[str]:
    """Markdown that ends a report: the accuracy of the judge that made its figures."""
    lines = ["", "| the judge on rendered truth | |", "|---|---|"]
    lines += [f"| {name} | {_shown(value)} |" for name, value in figures.items()]
    return lines if figures else [*lines, "| not measured | – |"]


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _flat(figures: Mapping[str, object], outer: str = "") -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        full = f"{outer}, {name}" if outer else name
        if isinstance(value, Mapping):
            yield from _flat(value, full)
        else:
            yield full, value
