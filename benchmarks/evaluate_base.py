"""The figures of an embedded model: what it draws, where its word maps lie, what it costs.

    python benchmarks/evaluate_base.py [--model emoji-sd] [--prompts 240] [--part words] …
    python benchmarks/evaluate_base.py --part base --prompts 500 --batch 125 --device cuda

Writes `results/evaluate_base.csv`, one row a figure with device and commit, in place of the rows
that the model had for those parts; pictures, sheets and tables go to `--out`.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from attention_studio import load
from attention_studio.bench.stamp import stamp
from attention_studio.emoji.train.word_maps import measure_word_maps
from attention_studio.evaluate import BaseReport, Resources, evaluate_base, measure_resources
from attention_studio.evaluate.prompts import EVALUATION_SEEDS, draw_prompts
from attention_studio.evaluate.word_report import WordMapReport
from attention_studio.models import describe

Row = dict[str, object]

HERE = Path(__file__).resolve().parent
COLUMNS = ("suite", "group", "split", "question", "value", "low", "high", "n")


PARTS = ("base", "words", "costs")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="emoji-sd")
    parser.add_argument("--prompts", type=int, default=240)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeat for more; else all")
    parser.add_argument("--out", type=Path, default=Path("out/evaluate"))
    asked = parser.parse_args()
    parts = asked.part or PARTS
    about = describe(asked.model)
    rows: list[Row] = []
    if "costs" in parts:  # first: this process still sleeps and holds nothing
        costs = measure_resources(asked.model, steps=asked.steps, guidance=asked.guidance)
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "resources.json").write_text(costs.to_json() + "\n", encoding="utf-8")
        print(costs.to_json())
        rows += _cost_rows(costs)
    pipe = load(asked.model).to(asked.device)
    how = {"steps": asked.steps, "guidance": asked.guidance, "batch": asked.batch}
    if "base" in parts:
        base = evaluate_base(
            pipe,
            nouns=about.nouns,
            prompts=asked.prompts,
            seed=asked.seed,
            model=about.name,
            folder=asked.out,
            progress=_show,
            **how,
        )
        print(base.table())
        rows += _base_rows(base)
    if "words" in parts:
        drawn = draw_prompts(EVALUATION_SEEDS + asked.seed, about.nouns, asked.prompts)
        words = measure_word_maps(
            pipe,
            [item.prompt for item in drawn if item.group in ("one thing", "two things")],
            folder=asked.out,
            progress=_show,
            **how,
        )
        print(words.table())
        rows += _word_rows(words)
    made: Row = {
        "model": about.name,
        "version": about.version,
        "steps": asked.steps,
        "guidance": asked.guidance,
        "seed": asked.seed,
        "cores": os.cpu_count(),
        **stamp(torch.device(asked.device)),
    }
    put_rows(HERE / "results" / "evaluate_base.csv", rows, made)


def put_rows(file: Path, rows: Sequence[Row], made: Row) -> None:
    """Write rows made as `made` says in place of those the file has of their model and suites."""
    new = [{**dict.fromkeys(COLUMNS, ""), **row, **made} for row in rows]
    suites = {row["suite"] for row in new}
    before: list[Row] = []
    if file.is_file():
        with file.open(newline="", encoding="utf-8") as opened:
            before = [*csv.DictReader(opened)]
    kept = [r for r in before if r["model"] != made["model"] or r["suite"] not in suites]
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, [*COLUMNS, *made])
        writer.writeheader()
        writer.writerows([*kept, *new])


def _base_rows(report: BaseReport) -> Iterator[Row]:
    for figure in report.figures:
        facts = figure.rate.facts()
        yield {
            "suite": "base",
            "group": figure.group,
            "split": figure.split,
            "question": figure.question,
            "n": facts["asked"],
            **{name: facts[name] for name in ("value", "low", "high")},
        }
    for name, value in report.judge.items():
        yield {"suite": "judge", "question": name, "value": value}


def _word_rows(report: WordMapReport) -> Iterator[Row]:
    for figure in report.figures:
        facts = {name: value for name, value in asdict(figure).items() if isinstance(value, float)}
        for name, value in facts.items():
            of_pairs = name.startswith(("own_", "other_")) or name.endswith("_ratio")
            yield {
                "suite": "words",
                "group": figure.kind,
                "split": f"{figure.grid[0]}x{figure.grid[1]}",
                "question": name,
                "value": round(value, 4),
                "n": figure.pairs if of_pairs else figure.words,
            }


def _cost_rows(costs: Resources) -> Iterator[Row]:
    for name in ("load_seconds", "reload_seconds", "picture_seconds", "peak_memory_bytes"):
        yield {"suite": "costs", "question": name, "value": getattr(costs, name), "n": costs.runs}


def _show(done: int, total: int) -> None:
    print(f"\r{done} of {total} picture-steps", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
