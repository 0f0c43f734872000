"""Methods compared on the same prompts: what was seen of each, group by group, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class Grouped(DataclassInstance, Protocol):
        """Such as the prompt of a suite."""

        @property
        def group(self) -> str: ...


__all__ = ["Asked", "Compared", "Grouped", "Saw", "by_group", "pace", "where_drawn"]

Asked = TypeVar("Asked", bound="Grouped")
Saw = TypeVar("Saw", bound="DataclassInstance")


@dataclass(frozen=True)
class Compared(Generic[Asked, Saw]):
    """What was asked for, and for each method what was seen and how long it took, in seconds."""

    asked: Asked
    seen: Mapping[str, Saw]
    seconds: Mapping[str, float]

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {
            **asdict(self.asked),
            "seen": {name: asdict(seen) for name, seen in self.seen.items()},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def by_group(
    outcomes: Sequence[Compared[Asked, Saw]], groups: Sequence[str]
) -> Iterator[tuple[str, Sequence[Compared[Asked, Saw]]]]:
    """Those of each group that has any, then "all" of them."""
    for group in (*groups, "all"):
        chosen = [o for o in outcomes if group in ("all", o.asked.group)]
        if chosen:
            yield group, chosen


def pace(chosen: Sequence[Compared[Asked, Saw]], method: str) -> tuple[float, float]:
    """Mean seconds of a method, and how many times those of the base."""
    took, base = (mean(o.seconds[name] for o in chosen) for name in (method, "base"))
    return took, took / base


def where_drawn(steps: int, guidance: float, seed: int, *, tuning: bool) -> str:
    """For the head of a table."""
    return (
        f"of the {'tuning' if tuning else 'evaluation'} range, {steps} steps, guidance "
        f"{guidance:g}, seed {seed}"
    )
