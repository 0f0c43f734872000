"""Compiles what ships, prints a table, and says which rules are broken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from .figures import Figures
from .record import read_record, write_record
from .rules import growth, violations
from .specialization import Specialization

__all__ = ["check"]

HEAD = "  sm tensor  regs stack spill shared KiB async 16-byte narrow B tiny     s"


def check(
    specs: Sequence[Specialization],
    record: Path | None = None,
    *,
    refresh: bool = False,
    commit: str = "",
) -> list[str]:
    """Every broken rule as one line; the table goes to stdout while it grows.

    record:  CSV of committed figures; None compares with nothing.
    refresh: writes record instead of comparing with it, unless a rule is broken.
    commit:  what the written rows say of their sources.
    """
    from .triton import VERSION, measure

    start = time.perf_counter()
    committed = None if record is None else read_record(record, version=VERSION)
    wide = max([len(spec.name) for spec in specs], default=0)
    print(f"{'kernel':{wide}}{HEAD}")
    broken = _twice(spec.name for spec in specs)
    found = []
    for spec in specs:
        for arch in spec.arches:
            began = time.perf_counter()
            try:
                figures = measure(spec, arch)
            except Exception as error:  # whatever a compiler raises is one broken rule
                broken.append(f"{spec.name}, sm_{arch}: does not compile: {_sentence(error)}")
                continue
            found.append(figures)
            broken += violations(spec, figures)
            if committed is not None and not refresh:
                broken += growth(figures, committed.get((spec.name, arch)))
            seconds = time.perf_counter() - began
            print(f"{spec.name:{wide}}{_row(figures)} {seconds:5.1f}", flush=True)
    if committed is not None and not refresh:
        gone = committed.keys() - {(spec.name, arch) for spec in specs for arch in spec.arches}
        broken += [f"{name}, sm_{arch}: figures of no kernel" for name, arch in sorted(gone)]
    print(f"{len(found)} compiled in {time.perf_counter() - start:.0f} s by Triton {VERSION}")
    if record is None:
        return broken
    if refresh and not broken:
        write_record(record, found, version=VERSION, commit=commit)
    elif not refresh and committed is None:
        print(f"compared with nothing: {record} has no figures of Triton {VERSION}")
    return broken


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [
        f"{name}: two specializations of this name, expected one"
        for name in names
        if name in seen or seen.add(name)  # type: ignore[func-returns-value]
    ]


def _sentence(error: Exception) -> str:
    """Triton says where in the first line and why in the last, with the source in between."""
    lines = [" ".join(line.split())[:200] for line in str(error).splitlines() if line.strip()]
    return " … ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else type(error).__name__


def _row(figures: Figures) -> str:
    return (
        f"  {figures.arch:2} {figures.tensor_core:6} {figures.registers:5} "
        f"{figures.stack_bytes:5} {figures.spill_bytes:5} {figures.shared_bytes / 1024:10.1f} "
        f"{figures.async_copies:5} {figures.wide_loads:7} {figures.narrow_bytes:8} "
        f"{figures.tiny_loads:4}"
    )
