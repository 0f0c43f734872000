"""Runs the contenders of a case in turns, after each has shown that its result is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor

from .case import Case
from .clock import take_turns
from .contender import Contender, absent
from .gate import gradients, worst_error, wrong
from .memory import extra_bytes
from .pairs import useful_flops
from .rows import Row
from .suites import Suite

__all__ = ["measure"]

Say = Callable[[str], None]
Call = Callable[[], object]


@dataclass(frozen=True, eq=False)
class _Warm:
    """A contender that is warm, or, without a call, the reason in note."""

    contender: Contender
    error: float | None
    note: str
    call: Call | None = None
    extra: int | None = None


def measure(suite: Suite, case: Case, *, repetitions: int, say: Say = lambda _: None) -> list[Row]:
    """One row a contender and direction, ours first. A wrong or failing one has an empty row.

    say: is told what is going on, a line at a time.
    """
    unknown = set(case.against) - set(suite.rivals)
    if unknown:
        raise ValueError(
            f"against: {sorted(unknown)} came; {suite.name} knows {', '.join(suite.rivals)}"
        )
    if case.backward and not suite.backward:
        raise ValueError(f"backward: came for {suite.name}, expected none: it is measured forward")
    say(f"{suite.name} {_grid(case)}: results on a small case")
    errors, reasons = _gate(suite, case.small())
    contenders = [
        absent(c.name, reasons[c.name]) if c.name in reasons else c
        for c in _contenders(suite, case, case.inputs())
    ]
    rows = []
    for backward in (False, True) if case.backward else (False,):
        runs = []
        for contender in contenders:
            say(f"{suite.name} {_grid(case)}: {contender.name}{', backward' if backward else ''}")
            error = errors.get(contender.name)
            runs.append(_start(contender, error, case, backward=backward))
        say(f"{suite.name} {_grid(case)}: {repetitions} turns")
        rows += _rows(suite, case, runs, backward=backward, repetitions=repetitions)
    return rows


def _contenders(suite: Suite, case: Case, given: Sequence[Tensor]) -> list[Contender]:
    found = [suite.ours(case, given)]
    for name, build in suite.rivals.items():
        if name in case.against:
            found += build(case, given)
        else:
            found.append(absent(name, f"--against {name} was not given"))
    return found


def _gate(suite: Suite, small: Case) -> tuple[dict[str, float], dict[str, str]]:
    """Errors by name, and reasons by name of those that are not timed."""
    given, reference = small.inputs(), suite.reference(small)
    errors: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for contender in _contenders(suite, small, given):
        if contender.attend is None or not contender.same:
            continue
        try:
            error = worst_error(contender, reference, given, backward=small.backward)
        except Exception as failure:  # a rival that cannot run here is one empty cell
            reasons[contender.name] = _sentence(failure)
            continue
        errors[contender.name] = error
        if refused := wrong(error, small.device, small.dtype):
            reasons[contender.name] = refused
    return errors, reasons


def _rows(
    suite: Suite, case: Case, runs: Sequence[_Warm], *, backward: bool, repetitions: int
) -> list[Row]:
    calls = {i: run.call for i, run in enumerate(runs) if run.call is not None}
    turns = take_turns([*calls.values()], repetitions=repetitions, device=case.device)
    times = {
        i: [ms / runs[i].contender.share for ms in found]
        for i, found in zip(calls, turns, strict=True)
    }
    flops = partial(
        useful_flops, head_dim=case.head_dim, heads=case.heads * case.batch, backward=backward
    )
    rows = []
    for i, run in enumerate(runs):
        row = Row(
            suite=suite.name,
            implementation=run.contender.name,
            direction="backward" if backward else "forward",
            grid=_grid(case),
            radius=case.radius if suite.windowed else None,
            text=case.text,
            heads=case.heads,
            head_dim=case.head_dim,
            batch=case.batch,
            dtype=str(case.dtype).removeprefix("torch."),
            error=run.error,
            note=run.note,
        )
        if i in times:
            executed = None if backward else run.contender.executed
            middle = median(times[i])
            row = replace(
                row,
                ms_median=middle,
                ms_min=min(times[i]),
                ms_max=max(times[i]),
                repetitions=repetitions,
                useful_tflops=flops(suite.pairs(case)) / middle / 1e9,
                executed_tflops=None if executed is None else flops(executed) / middle / 1e9,
                extra_mib=None if run.extra is None else run.extra / 2**20,
                times_ours=_ratio(times[i], times.get(0)),
            )
        rows.append(row)
    if 0 in times:
        said = [x for x in (rows[0].note, suite.remark(case, rows)) if x]
        rows[0] = replace(rows[0], note="; ".join(said))
    return rows


def _ratio(its: Sequence[float], ours: Sequence[float] | None) -> float | None:
    """Of the two in the same turn, the median over the turns."""
    if ours is None:
        return None
    return median(a / b for a, b in zip(its, ours, strict=True))


def _start(contender: Contender, error: float | None, case: Case, *, backward: bool) -> _Warm:
    """Runs the contender twice: to compile and fill caches, and for its memory."""
    if contender.attend is None:
        return _Warm(contender, error, contender.note)
    try:
        call = _call(contender, backward=backward)
        call()
        extra = extra_bytes(call, case.device) if contender.share == 1 else None
    except Exception as failure:  # out of memory, a backend without a backward pass, …
        return _Warm(contender, error, f"not measured: {_sentence(failure)}")
    return _Warm(contender, error, contender.note, call, extra)


def _call(contender: Contender, *, backward: bool) -> Call:
    attend, inputs = contender.attend, contender.inputs
    assert attend is not None
    if backward:
        return gradients(attend, inputs)

    def forward() -> None:
        with torch.no_grad():
            attend(*inputs)

    return forward


def _grid(case: Case) -> str:
    return "x".join(map(str, case.grid))


def _sentence(failure: Exception) -> str:
    words = " ".join(str(failure).split())
    return f"{type(failure).__name__}: {words}"[:200]
