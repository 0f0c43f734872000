"""`bench`: how fast the kernels and whole edits are, beside what one would run instead."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..device import choose_device, choose_dtype
from .options import AsJson, Device, Dtype, Quiet

if TYPE_CHECKING:
    from ..bench import RunRow

__all__ = ["Impl", "Work", "bench"]


class Work(StrEnum):
    """What can be timed."""

    disc = "disc"
    labelled = "labelled"
    maps = "maps"
    edit = "edit"
    compose = "compose"


class Impl(StrEnum):
    """Implementations of our kernels."""

    auto = "auto"
    tiled = "tiled"
    triton = "triton"
    reference = "reference"


def bench(
    work: Annotated[
        Work,
        typer.Argument(
            help="disc: windows of the image; labelled: groups; maps: recording word maps; "
            "edit, compose: whole runs under controls beside the stock pipeline."
        ),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HxW",
            help="Image tokens; repeatable. Default: CUDA 256x256, CPU 64x64 (maps: 64x64, 32x32).",
        ),
    ] = None,
    radius: Annotated[
        list[float] | None, typer.Option(help="disc: tokens; repeatable. Default: 8.")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="Default: CUDA 24, CPU 2.")] = None,
    head_dim: Annotated[int | None, typer.Option(help="Default: CUDA 128, CPU 64.")] = None,
    text: Annotated[int | None, typer.Option(help="Tokens. Default: CUDA 512, CPU 77.")] = None,
    batch: Annotated[int, typer.Option(help="Pictures.")] = 1,
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default: torch's own choice.")
    ] = None,
    impl: Annotated[Impl, typer.Option(help="Of our kernel.")] = Impl.auto,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="a,b,…",
            help="disc: dense, flex, flex-tiled, natten; labelled: dense, mask, flex; maps: "
            "attention, eager; edit: attached, local_blend, record_maps, official; compose: "
            "a-star, a-star whole, excite, excite unrefined, structure, structure conjunction, "
            "bind, boxes, regions, a-star + structure, diffusers excite, diffusers excite "
            "unrefined. Default: all, on a CPU without flex, which compiles for a minute.",
        ),
    ] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Time backward as well.")] = False,
    extrapolate_dense: Annotated[
        int,
        typer.Option(
            metavar="ROWS",
            help="Time dense attention on so many query rows and scale; 0: on all. Rows say so.",
        ),
    ] = 0,
    model: Annotated[
        str,
        typer.Option(help='edit, compose: "emoji-sd", "untrained-sd15" or a folder with a UNet.'),
    ] = "emoji-sd",
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="edit, compose: pixels. Default: the model's own."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="edit, compose: denoising steps.")] = 10,
    guidance: Annotated[float, typer.Option(min=0, help="edit, compose: guidance scale.")] = 5.0,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="Turns. Default: CUDA 21, CPU 11.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Append the rows.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check results against the reference on a small case, then time; every gap says why."""
    import torch

    from ..bench import SUITES, Case, append_csv, measure, runs_table, table, to_json
    from ..bench.stamp import stamp

    place = torch.device(choose_device(device))
    gpu = place.type == "cuda"
    if threads is not None:
        torch.set_num_threads(threads)
    say: Callable[[str], None] = _silent if quiet else _aloud
    turns = repetitions or (21 if gpu else 11)
    if work in (Work.edit, Work.compose):
        rivals = None if against is None else _names(against)
        runs = _runs(work, model, size, steps, guidance, turns, rivals, device, dtype, say)
        facts = {**stamp(place), "diffusers": version("diffusers")}
        if csv is not None:
            append_csv(csv, runs, facts)
        print(to_json(runs, facts)) if as_json else _show(runs_table(runs, facts))
        return
    suite = SUITES[work.value]
    side = "256x256" if gpu and work != Work.maps else "64x64"
    side = "32x32" if work == Work.maps and not gpu else side
    rows = []
    for size in grid or [side]:
        for reach in radius or [8.0]:
            case = Case(
                grid=_size(size),
                text=(512 if gpu else 77) if text is None else text,
                radius=reach,
                heads=(24 if gpu else 2) if heads is None else heads,
                head_dim=(128 if gpu else 64) if head_dim is None else head_dim,
                dtype=choose_dtype(dtype) or (torch.bfloat16 if gpu else torch.float32),
                device=place,
                batch=batch,
                backward=backward,
                impl=impl.value,
                against=suite.default_rivals(place.type) if against is None else _names(against),
                dense_rows=extrapolate_dense,
            )
            rows += measure(
                suite,
                case,
                repetitions=turns,
                say=say,
            )
    facts = stamp(place)
    if csv is not None:
        append_csv(csv, rows, facts)
    if as_json:
        print(to_json(rows, facts))
    else:
        _show(table(rows, facts))
    ours = [row for row in rows if row.implementation == rows[0].implementation]
    if any(row.ms_median is None for row in ours):
        raise typer.Exit(1)


def _runs(
    work: Work,
    model: str,
    size: str | None,
    steps: int,
    guidance: float,
    turns: int,
    against: tuple[str, ...] | None,
    device: str,
    dtype: str,
    say: Callable[[str], None],
) -> Sequence[RunRow]:
    from ..bench import COMPOSE_WAYS, WAYS, measure_compose, measure_edit
    from ..models import describe
    from ..pipelines.load import load
    from ..pipelines.untrained import untrained_sd15

    place, kind = choose_device(device), choose_dtype(dtype)
    if model == "untrained-sd15":
        import torch

        kind = kind or (torch.bfloat16 if torch.device(place).type == "cuda" else None)
        pipe, own = untrained_sd15(device=place, dtype=kind), 512
    else:
        pipe, own = load(model, device=place, dtype=kind), describe(model).image_size or 512
        if not hasattr(pipe, "unet"):
            raise ValueError(
                f"model: {model!r} is a {type(pipe).__name__}; expected one with a UNet"
            )
    measured: Callable[..., Sequence[RunRow]]
    measured, ways = (measure_edit, WAYS) if work == Work.edit else (measure_compose, COMPOSE_WAYS)
    return measured(
        pipe,
        model=model,
        size=(own, own) if size is None else _size(size, "size"),
        steps=steps,
        guidance=guidance,
        repetitions=turns,
        against=ways if against is None else against,
        say=say,
    )


def _show(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _aloud(line: str) -> None:
    print(line, file=sys.stderr)


def _silent(_line: str) -> None:
    pass


def _size(grid: str, argument: str = "grid") -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", grid)
    if found is None:
        raise ValueError(f"{argument}: {grid!r} came; expected height x width, like 64x64")
    return int(found[1]), int(found[2])


def _names(against: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in against.split(",") if name.strip())
