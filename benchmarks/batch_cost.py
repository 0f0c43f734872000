"""What a batch costs beside its pipeline calls, and what more rows or processes at once gain.

    python benchmarks/batch_cost.py --out benchmarks/results/batch_cost.csv
        [--rows 4] [--steps 6] [--pairs 11] [--batch-size 4] [--model emoji-sd] [--device cpu]

Every side of a comparison runs once in each round, their order in turns, after a round that does
not count; a figure is the median over the rounds of the ratio, first side over second. Sides:

bare       a loop over the recipes on a warm session: pipeline, judge, receipts; writes nothing
batch      the same as a whole batch in a fresh folder: manifest, plan, journal, files, report
one, two   the batch in one process or in two that share its folder; one thread each
threads    the batch in one process with two threads
together   as `one`, with `--batch-size`
unet n     one call of the denoiser for n pictures (2n rows, with and without the prompt)

What a batch costs is the same for any number of steps (`ms_apart`: first side less second, a row),
so its share falls with them. The rows `unet` say why common calls gain or not: where the call for
one picture is in arithmetic (`gflop_s`) about as fast as those for more, nothing is left to gain.
Before anything is timed, the batch's pictures are compared with those of the bare loop.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import sub
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from attention_studio import Recipe, Session
from attention_studio.batch.entries import Maker
from attention_studio.batch.formats import read_entries
from attention_studio.batch.plan import Settings
from attention_studio.batch.run import Batch, run_batch
from attention_studio.bench.stamp import stamp

CASES = {
    "edits": lambda i: {"prompt": "a cat on grass", "to": "a dog on grass", "seed": i},
    "pictures": lambda i: {"prompt": f"a red car at night, number {i}", "seed": i},
}
PICTURES = (1, 2, 4, 8)

Sides = Mapping[str, Callable[[], object]]
Times = Mapping[str, Sequence[float]]


def seconds(act: Callable[[], object]) -> float:
    start = perf_counter()
    act()
    return perf_counter() - start


def rounds(sides: Sides, count: int) -> Times:
    """Times of all sides, interleaved."""
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, count):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            spent = seconds(sides[name])
            if turn >= 0:
                found[name].append(spent)
        if turn >= 0:
            said = ", ".join(f"{name} {times[-1]:.3f} s" for name, times in found.items())
            print(f"  {turn + 1}/{count}: {said}", flush=True)
    return found


def ratio(case: str, times: Times, first: str, second: str, rows: int) -> dict[str, object]:
    """first over second. ms_a_row: of the second side."""
    ratios = [a / b for a, b in zip(times[first], times[second], strict=True)]
    return {
        "case": case,
        "first": first,
        "second": second,
        "pairs": len(ratios),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_min": round(min(ratios), 4),
        "ratio_max": round(max(ratios), 4),
        "ms_a_row": round(1000 * statistics.median(times[second]) / rows, 2),
        "ms_apart": round(
            1000 * statistics.median(map(sub, times[first], times[second])) / rows, 2
        ),
        "gflop_s": None,
    }


def whole_batch(session: Session, settings: Settings, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        found = run_batch(Batch(settings, Path(out), min_free=0), session=session)
        assert found.ended and not found.failed


def bare_loop(session: Session, recipes: Sequence[Recipe]) -> None:
    for recipe in recipes:
        session.run_together([recipe])


def processes(session: Session, settings: Settings, folder: Path, count: int, threads: int) -> None:
    """The batch drawn by so many children, forked so that none has to load the model."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        batch = Batch(settings, Path(out), min_free=0)
        children = [os.fork()]
        while children[-1] and len(children) < count:
            children.append(os.fork())
        if not children[-1]:
            code = 1
            try:
                torch.set_num_threads(threads)
                code = 0 if run_batch(batch, session=session).ended else 1
            finally:
                os._exit(code)
        for child in children:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def check(session: Session, settings: Settings, recipes: Sequence[Recipe], folder: Path) -> None:
    """A batch that draws something else is not worth timing."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        run_batch(Batch(settings, Path(out), min_free=0), session=session)
        for home, recipe in zip(sorted(Path(out).glob("pictures/*/*")), recipes, strict=True):
            (result,) = session.run_together([recipe])
            names = ["source.png", "edit.png"] if recipe.is_edit else ["picture.png"]
            for name, image in zip(names, result.images, strict=True):
                apart = np.abs(
                    np.asarray(Image.open(home / name), np.int16) - np.asarray(image, np.int16)
                )
                if (apart <= (settings.together > 1)).mean() < (0.99 if apart.any() else 1.0):
                    sys.exit(f"{home.name}/{name} is not the picture of the bare loop; not timed")


def denoiser(session: Session, count: int) -> list[dict[str, object]]:
    """A call of the denoiser by pictures in it, and the arithmetic it reaches."""
    unet = session.pipe.unet
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    place: dict[str, Any] = {"device": unet.device, "dtype": unet.dtype}

    def call(pictures: int) -> None:
        text = torch.zeros(2 * pictures, 77, width, **place)
        latents = torch.zeros(2 * pictures, unet.config.in_channels, side, side, **place)
        with torch.inference_mode():
            unet(latents, 500, encoder_hidden_states=text)
        if unet.device.type == "cuda":
            torch.cuda.synchronize()

    square = torch.ones(1024, 1024, **place)
    sides = {f"unet {n}": partial(call, n) for n in PICTURES}
    times = rounds({**sides, "matmul": lambda: square @ square}, count)
    found = []
    for n in PICTURES:
        with FlopCounterMode(display=False) as counter:
            call(n)
        row = ratio("denoiser", times, "unet 1", f"unet {n}", n)
        per_picture = [n * a / b for a, b in zip(times["unet 1"], times[f"unet {n}"], strict=True)]
        for name, pick in (("median", statistics.median), ("min", min), ("max", max)):
            row[f"ratio_{name}"] = round(pick(per_picture), 4)
        row["ms_apart"] = None
        spent = statistics.median(times[f"unet {n}"])
        found.append(row | {"gflop_s": round(counter.get_total_flops() / spent / 1e9, 1)})
    row = ratio("denoiser", times, "matmul", "matmul", 1)
    spent = statistics.median(times["matmul"])
    return [*found, row | {"gflop_s": round(2 * 1024**3 / spent / 1e9, 1)}]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    session = Session(asked.model, device=asked.device)
    session.warm()
    measured: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, make in CASES.items():
            manifest = folder / f"{case}.jsonl"
            lines = (json.dumps({"id": f"{i:03d}", **make(i)}) for i in range(asked.rows))
            manifest.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            defaults = {"model": asked.model, "steps": asked.steps}
            maker = Maker(defaults)
            recipes = [r.recipe for e in read_entries(manifest, "jsonl") for r in maker.rows(e)]
            settings = Settings(manifest, "jsonl", defaults)
            grouped = replace(settings, together=asked.batch_size)
            check(session, settings, recipes, folder)
            check(session, grouped, recipes, folder)
            sides: dict[str, Callable[[], object]] = {
                "bare": partial(bare_loop, session, recipes),
                "batch": partial(whole_batch, session, settings, folder),
            }
            print(case)
            times = rounds(sides, asked.pairs)
            measured.append(ratio(case, times, "batch", "bare", asked.rows))
        if asked.device == "cpu":  # pictures once more; a child cannot use its parent's CUDA
            share = partial(processes, session, settings, folder)
            sides = {
                "one": partial(share, 1, 1),
                "together": partial(processes, session, grouped, folder, 1, 1),
                "two": partial(share, 2, 1),
                "threads": partial(share, 1, 2),
            }
            print(f"{case}, in processes of their own")
            times = rounds(sides, asked.pairs)
            for second in ("together", "two", "threads"):
                measured.append(ratio(case, times, "one", second, asked.rows))
    print("calls of the denoiser")
    measured += denoiser(session, asked.pairs)
    write(asked, measured)


def write(asked: argparse.Namespace, measured: Sequence[Mapping[str, object]]) -> None:
    machine = {
        "rows": asked.rows,
        "steps": asked.steps,
        "batch_size": asked.batch_size,
        "model": asked.model,
        "cores": os.cpu_count(),
        **stamp(torch.device(asked.device)),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*measured[0], *machine])
        writer.writeheader()
        writer.writerows({**one, **machine} for one in measured)
    for one in measured:
        print(", ".join(f"{name} {value}" for name, value in one.items() if value is not None))


if __name__ == "__main__":
    main()
