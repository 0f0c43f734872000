"""What local windows cost and save: a teacher, its windows untrained, and its trained ones.

    attention-studio train clear --start DIR --radius 4 --batch 64 --rate 3e-4 --out runs …
    python benchmarks/evaluate_clear.py DIR \\
      --clear full=runs/checkpoints/NAME-clear/clear.safetensors --larger 2 --device cuda

DIR: a FLUX pipeline that draws emoji world. Figures are those of `evaluate base`, at larger sizes
of fewer prompts. Seconds and MiB are of denoising `--timed` pictures, decoder left out: the median
of three, and the most held on CUDA (on a CPU: by the process). `--out` gets table.md, rows.jsonl.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from attention_studio import attach, load
from attention_studio.bench.stamp import stamp
from attention_studio.device import DTYPES, choose_dtype
from attention_studio.evaluate import evaluate_base
from attention_studio.evaluate.rates import Rate
from attention_studio.models import describe
from attention_studio.peak import Peak
from attention_studio.pipelines.calls import guidance_arguments, length_arguments
from attention_studio.pipelines.clear_weights import load_clear
from attention_studio.processors import LocalWindow
from attention_studio.processors.call import Step
from attention_studio.window_pairs import window_pairs

QUESTIONS = ("all nouns", "all colours that are said", "background")
BAR = 2.0  # points that a window may lose of the teacher's pictures with all nouns


@dataclass(frozen=True)
class Way:
    """How pictures are drawn: window None = dense; weights None = those of the teacher."""

    name: str
    window: LocalWindow | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Row:
    """One line. removed: of pairs of image tokens; texts: pairs with text among those kept."""

    way: Way
    side: int
    rates: tuple[Rate, ...]
    removed: float
    texts: float
    seconds: float
    mib: float | None
    points: float = 0.0

    @property
    def percent(self) -> float:
        """All nouns."""
        return 100 * (self.rates[0].value or 0.0)

    def cells(self) -> list[str]:
        return [
            *(self.way.name, str(self.side), *(rate.text() for rate in self.rates)),
            *(f"{self.points:+.1f}", f"{100 * self.removed:.1f} %", f"{100 * self.texts:.1f} %"),
            *(f"{self.seconds:.2f}", "–" if self.mib is None else f"{self.mib:.0f}"),
        ]

    def facts(self) -> dict[str, Any]:
        window, names = self.way.window, ("side", "removed", "texts", "seconds", "mib", "points")
        asked = {n: window and getattr(window, n) for n in ("radius", "late", "pooled", "scale")}
        rates = {q: rate.facts() for q, rate in zip(QUESTIONS, self.rates, strict=True)}
        return {"way": self.way.name, **asked, **rates, **{n: getattr(self, n) for n in names}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--clear", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--radius", type=float, help="of one more untrained window")
    parser.add_argument(
        "--late", type=float, help="of that window, in the second half of the steps"
    )
    parser.add_argument("--pooled", type=int, help="cells of that window")
    parser.add_argument("--larger", type=int, action="append", default=[], help="times the side")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--larger-prompts", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=96, help="at the trained size")
    parser.add_argument("--timed", type=int, default=32, help="pictures")
    parser.add_argument("--judges", type=int, default=0, help="processes that judge; 0 = this one")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="auto")
    parser.add_argument("--out", type=Path, default=Path("out/evaluate-clear"))
    asked = parser.parse_args()
    if not asked.clear and asked.radius is None:
        parser.error("--clear or --radius: which window?")
    torch.set_float32_matmul_precision("high")
    asked.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked)
    table = bench.table([*bench.rows()])
    print(table)
    (asked.out / "table.md").write_text(table, encoding="utf-8")


class Bench:
    """One teacher, drawn in many ways."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, about = asked, describe(asked.model)
        self.side = about.image_size or 128
        self.pipe: Any = load(asked.model, dtype=choose_dtype(asked.dtype), device=asked.device)
        self.kept = {k: v.clone() for k, v in self.pipe.transformer.state_dict().items()}
        self.tokens = int(self.side // (2 * self.pipe.vae_scale_factor))
        self.length = length_arguments(self.pipe)
        self.made = stamp(torch.device(asked.device))
        how = ("steps", "guidance", "seed")
        self.how: dict[str, Any] = {"nouns": about.nouns, **{n: getattr(asked, n) for n in how}}
        if asked.judges:
            pool = ProcessPoolExecutor(asked.judges, mp_context=get_context("spawn"))
            self.how["judge"] = lambda images: [*pool.map(_judged, images, chunksize=8)]

    def rows(self) -> Iterator[Row]:
        """Measured one after another; each is written as soon as it is there."""
        pairs = [said.rpartition("=")[::2] for said in self.asked.clear]
        trained = [Way(n or f, load_clear(self.pipe, Path(f)), Path(f)) for n, f in pairs]
        kinds = {_kind(way.window): None for way in trained if way.window}
        if self.asked.radius is not None:
            kinds[self.asked.radius, self.asked.late, self.asked.pooled] = None
        untrained = [
            Way(_name(radius, late, f), LocalWindow(radius, f, late=late))
            for radius, late, f in kinds
        ]
        ways = {1: [*untrained, *trained]}
        for factor in self.asked.larger:
            ways[factor] = [*_larger(trained or untrained, self.tokens)]
        with (self.asked.out / "rows.jsonl").open("w", encoding="utf-8") as lines:
            for factor, some in ways.items():
                first: Row | None = None
                for way in [Way("teacher, dense"), *some]:
                    row = self.row(way, factor)
                    first = first or row
                    row = replace(row, points=row.percent - first.percent)
                    lines.write(json.dumps({**row.facts(), **self.made}) + "\n")
                    lines.flush()
                    yield row

    def row(self, way: Way, factor: int) -> Row:
        asked, side = self.asked, factor * self.side
        self.pipe.transformer.load_state_dict(self.kept)
        if way.weights is not None:
            load_clear(self.pipe, way.weights)
        count = asked.prompts if factor == 1 else asked.larger_prompts
        steered = nullcontext() if way.window is None else attach(self.pipe, [way.window])
        with steered, self.sized(side):
            batch = max(1, asked.batch // factor**2)
            report = evaluate_base(self.pipe, prompts=count, batch=batch, **self.how)
            seconds, mib = self.timed(side)
        rates = tuple(report.rate("all", question) for question in QUESTIONS)
        texts = self.length.get("max_sequence_length", 512)
        pairs = _pairs(way, factor * self.tokens, texts, asked.steps)
        return Row(way, side, rates, *pairs, seconds, mib)

    @contextmanager
    def sized(self, side: int) -> Iterator[None]:
        """The suite draws at the size of the autoencoder."""
        before = self.pipe.vae.config.sample_size
        self.pipe.vae.register_to_config(sample_size=side)
        try:
            yield
        finally:
            self.pipe.vae.register_to_config(sample_size=before)

    def timed(self, side: int) -> tuple[float, float | None]:
        asked, count = self.asked, self.asked.timed

        def run(steps: int) -> float:
            began = time.perf_counter()
            latents = self.pipe(
                ["a cat on grass"] * count,
                height=side,
                width=side,
                num_inference_steps=steps,
                generator=[torch.Generator("cpu").manual_seed(i) for i in range(count)],
                output_type="latent",
                **guidance_arguments(self.pipe, asked.guidance, count=count),
                **self.length,
            ).images
            latents.flatten()[0].item()  # which waits until they are there
            return time.perf_counter() - began

        run(2)
        peak = Peak(asked.device)
        seconds = sorted(run(asked.steps) for _ in range(3))[1]
        held = peak.held()
        return seconds, None if held is None else held / 2**20

    def table(self, rows: Sequence[Row]) -> str:
        head = ["", "px", *QUESTIONS, "points", "image pairs gone", "pairs with text", "s", "MiB"]
        near = [row for row in rows if row.side == self.side and row.points >= -BAR]
        names = [row.way.name for row in near if row.way.weights]
        a, made = self.asked, self.made
        lines = [
            f"{a.model}: {a.prompts} prompts ({a.larger_prompts} at larger sizes), {a.steps} steps,"
            f" guidance {a.guidance:g}, seed {a.seed}; {self.pipe.transformer.dtype} on "
            f"{made['device']}, commit {made['commit']}, {made['date']}; timed: {a.timed} pictures."
            f" Within {BAR:g} points of the teacher: {', '.join(names) or 'none'}.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head))),
            *(f"| {' | '.join(row.cells())} |" for row in rows),
        ]
        return "\n".join(lines) + "\n"


def _larger(ways: Sequence[Way], trained: int) -> Iterator[Way]:
    """As they are, and with the scale that CLEAR has for larger pictures."""
    for way in ways:
        assert way.window is not None
        yield way
        scaled = replace(way.window, scale="proportional", trained=trained)
        yield replace(way, name=f"{way.name}, proportional", window=scaled)


def _kind(window: LocalWindow) -> tuple[float, float | None, int | None]:
    return window.radius, window.late, window.pooled


def _name(radius: float, late: float | None, cells: int | None) -> str:
    then = f", then {late:g}" if late is not None else ""
    return f"untrained, radius {radius:g}{then}{f' and cells of {cells}' if cells else ''}"


def _pairs(way: Way, side: int, texts: int, steps: int) -> tuple[float, float]:
    """Of pairs of image tokens, the part that is gone in all steps; of those left and of pairs with
    text, the latter's part."""
    kept, window = float(side**4), way.window
    if window is not None:
        reaches = [window.reach(Step(i, i, steps, 0.0)) for i in range(steps)]
        kept = sum(window_pairs((side, side), r) for r in reaches) / steps
        kept += 0 if window.pooled is None else side**2 * (side // window.pooled) ** 2
    of_text = 2 * texts * side**2 + texts**2
    return 1 - kept / side**4, of_text / (of_text + kept)


def _judged(image: Any) -> Any:
    from attention_studio.emoji import judge_many

    torch.set_num_threads(1)
    return judge_many([image])[0]


if __name__ == "__main__":
    main()
