"""What a batch costs beside its pipeline calls, and what several rows in one call gain.

    python benchmarks/batch_cost.py [--rows 8] [--steps 10] [--pairs 11] [--batch-size 8]
        [--threads 1] --out benchmarks/results/batch_cost.csv

`overhead`: a whole batch in a fresh folder (manifest, plan, journal, pictures, receipts, lists and
report) against a bare loop over the same recipes on the same warm session, which calls pipeline and
judge, compares the pictures, and writes nothing. `together`: a batch one by one against the same
batch with `--batch-size`. Both sides of a pair run one after the other, their order in turns; the
figure is the median of the ratios, first side over second. One row a case in the CSV.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from time import perf_counter

import torch

from attention_studio import Recipe, Session
from attention_studio.batch.entries import Maker
from attention_studio.batch.formats import read_entries
from attention_studio.batch.plan import Settings
from attention_studio.batch.run import Batch, run_batch

CASES = {
    "edits": lambda i: {"prompt": "a cat on grass", "to": "a dog on grass", "seed": i},
    "pictures": lambda i: {"prompt": f"a red car at night, number {i}", "seed": i},
}


def seconds(act: Callable[[], object]) -> float:
    start = perf_counter()
    act()
    return perf_counter() - start


def pairs(
    first: Callable[[], object], second: Callable[[], object], count: int
) -> list[tuple[float, float]]:
    """Times of both, in turns; each has run before."""
    first(), second()
    found = []
    for turn in range(count):
        if turn % 2:
            b, a = seconds(second), seconds(first)
        else:
            a, b = seconds(first), seconds(second)
        found.append((a, b))
        print(f"  {a:.2f} s, {b:.2f} s", flush=True)
    return found


def whole_batch(session: Session, settings: Settings, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        found = run_batch(Batch(settings, Path(out), min_free=0), session=session)
        assert found.ended and not found.failed


def bare_loop(session: Session, recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        session.run_together([recipe])


def row(case: str, what: str, found: Sequence[tuple[float, float]], rows: int) -> dict[str, object]:
    ratios = [a / b for a, b in found]
    return {
        "case": case,
        "what": what,
        "pairs": len(found),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
        "ms_a_row": round(1000 * statistics.median(a - b for a, b in found) / rows, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    session = Session(asked.model, device=asked.device)
    session.warm()
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for case, make in CASES.items():
            manifest = Path(folder) / f"{case}.jsonl"
            lines = (json.dumps(make(i)) for i in range(asked.rows))
            manifest.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            defaults = {"model": asked.model, "steps": asked.steps}
            maker = Maker(defaults)
            recipes = [r.recipe for e in read_entries(manifest, "jsonl") for r in maker.rows(e)]
            settings = Settings(manifest, "jsonl", defaults)
            grouped = replace(settings, together=asked.batch_size)
            one_by_one = partial(whole_batch, session, settings, Path(folder))
            together = partial(whole_batch, session, grouped, Path(folder))
            print(f"{case}: batch, bare loop")
            found = pairs(one_by_one, partial(bare_loop, session, recipes), asked.pairs)
            measured.append(row(case, "overhead", found, asked.rows))
            print(f"{case}: one by one, {asked.batch_size} together")
            found = pairs(one_by_one, together, asked.pairs)
            measured.append(row(case, f"together {asked.batch_size}", found, asked.rows))
    machine = {
        "rows": asked.rows,
        "steps": asked.steps,
        "threads": asked.threads,
        "device": f"{asked.device}: {_processor()}",
        "model": asked.model,
        "torch": torch.__version__,
        "commit": _commit(),
        "date": date.today().isoformat(),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*measured[0], *machine])
        writer.writeheader()
        writer.writerows({**one, **machine} for one in measured)
    for one in measured:
        print(", ".join(f"{name} {value}" for name, value in one.items()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty=+"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
