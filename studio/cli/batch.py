"""`batch`: thousands of rows from a manifest, crash-proof, on one machine or many."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from .batch_progress import batch_progress
from .batch_summary import print_plan, print_summary
from .options import (
    AllowDownload,
    AsJson,
    Device,
    Dtype,
    Folders,
    Guidance,
    Height,
    ModelName,
    Negative,
    Quiet,
    Seed,
    Steps,
    Syntax,
    Width,
    was_said,
)
from .pictures import new_session
from .shell import INTERRUPTED

if TYPE_CHECKING:
    from ..batch.run import Batch

__all__ = ["Engine", "Kind", "OutKind", "batch"]

SOME_FAILED = 1


class Engine(StrEnum):
    """Who draws."""

    local = "local"
    accelerate = "accelerate"
    ray = "ray"


class Kind(StrEnum):
    """Formats of manifests, as in `batch.formats`."""

    jsonl = "jsonl"
    csv = "csv"
    yaml = "yaml"
    parquet = "parquet"
    pie_bench = "pie-bench"


class OutKind(StrEnum):
    """What the pictures are written as, besides folders."""

    folders = "folders"
    wds = "wds"


def batch(
    ctx: typer.Context,
    manifest: Annotated[
        str, typer.Argument(help="JSONL, CSV, YAML or Parquet, one row a picture or edit; - stdin.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for pictures, journal and report.")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only part I of N, I from 0 to N-1.")
    ] = "0/1",
    engine: Annotated[
        Engine,
        typer.Option(
            help="local: this process; accelerate: the processes that torchrun or accelerate "
            "launch started; ray: a Ray cluster."
        ),
    ] = Engine.local,
    workers: Annotated[int, typer.Option(min=1, help="ray: actors, each with a model.")] = 1,
    resume: Annotated[
        bool, typer.Option(help="Go on with what DIR holds, or refuse a folder that has a batch.")
    ] = True,
    replan: Annotated[
        bool,
        typer.Option("--replan", help="Take a changed manifest; rows that are drawn stay."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also draw rows that failed before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check all lines, and say what it will take.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=1024, help="Rows of one shape that are drawn in one call.")
    ] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows.")] = None,
    manifest_format: Annotated[
        Kind | None, typer.Option(help="Default: as the manifest's name ends; stdin is jsonl.")
    ] = None,
    id_column: Annotated[str, typer.Option(help="The field that names rows.")] = "id",
    format: Annotated[
        OutKind, typer.Option(help="wds: kept rows are packed into WebDataset shards, too.")
    ] = OutKind.folders,
    filter: Annotated[
        str | None,
        typer.Option(metavar="EXPR", help="Rows to keep, such as 'psnr_outside>=28 and nouns_ok'."),
    ] = None,
    keep_top: Annotated[
        int | None, typer.Option(min=1, help="Of rows that differ in seeds only, the best K.")
    ] = None,
    keep_by: Annotated[
        str, typer.Option(metavar="EXPR", help="What is best: the largest of this.")
    ] = "psnr_outside",
    min_free: Annotated[
        int, typer.Option(min=0, metavar="MIB", help="Stop when less is free on the disk.")
    ] = 1024,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Draw each row with so many seeds from its own on.")
    ] = None,
    syntax: Syntax = True,
    model: ModelName = "emoji-sd",
    models_dir: Folders = None,
    negative: Negative = "",
    seed: Seed = 0,
    steps: Steps = 30,
    guidance: Guidance = 5.0,
    width: Width = None,
    height: Height = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    allow_download: AllowDownload = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw every row of a manifest; the same command goes on where it was stopped.

    Options such as --steps are for rows that do not say it themselves.
    """
    from ..batch.formats import format_of
    from ..batch.interrupts import stop_when_asked
    from ..batch.plan import Settings
    from ..batch.run import Batch, run_batch, spooled
    from ..batch.selection import Selection

    if out is None and not dry_run:
        raise typer.BadParameter("--out DIR is needed")
    if manifest != "-" and not Path(manifest).is_file():
        raise ValueError(f"manifest: {manifest!r} is no file")
    kind = manifest_format.value if manifest_format is not None else None
    settings = Settings(
        manifest=Path(manifest),
        kind=kind or ("jsonl" if manifest == "-" else format_of(Path(manifest))),
        defaults={
            name: value
            for name, value in (
                *(("model", model), ("negative", negative), ("seed", seed), ("seeds", seeds)),
                *(("steps", steps), ("guidance", guidance), ("width", width), ("height", height)),
            )
            if was_said(ctx, name)
        },
        id_field=id_column,
        syntax=syntax,
        together=batch_size,
        limit=limit,
        shard=_shard(shard),
    )
    asked = Batch(
        settings=settings,
        out=out or Path("out"),
        device=device,
        dtype=dtype,
        folders=tuple(models_dir or ()),
        allow_download=allow_download,
        anew=replan,
        retry=retry_failed,
        workers=workers if engine is Engine.ray else None,
        min_free=min_free * 2**20,
        selection=Selection(filter, keep_top, keep_by),
        wds=format is OutKind.wds,
    )
    speaks = True
    if engine is Engine.accelerate:
        asked, speaks = _of_rank(asked)
    quiet = quiet or not speaks
    if dry_run:
        with TemporaryDirectory(prefix="attention-studio-") as folder:
            here = spooled(asked, folder=Path(folder))
            _dry_run(here, as_json=as_json, quiet=quiet)
        return
    if not resume and (asked.journal_folder / "journal.sqlite").exists():
        raise ValueError(f"out: {str(out)!r} holds a batch; expected a new folder, or --resume")
    asked = spooled(asked)
    with stop_when_asked() as stop, batch_progress(quiet=quiet) as progress:
        found = run_batch(asked, stop=stop, told=progress.told, planned=progress.planned)
    if speaks:
        print_summary(found, asked, as_json=as_json, quiet=quiet)
    if not found.ended:
        raise typer.Exit(INTERRUPTED)
    if found.failed:
        raise typer.Exit(SOME_FAILED)


def _shard(text: str) -> tuple[int, int]:
    parts = text.split("/")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        i, n = int(parts[0]), int(parts[1])
        if i < n <= 100_000:
            return i, n
    raise ValueError(f"shard: came {text!r}; expected I/N with I from 0 to N-1, as in 0/4 and 3/4")


def _of_rank(asked: Batch) -> tuple[Batch, bool]:
    """The batch of this process among those that a launcher started."""
    from ..batch.launch import read_rank
    from ..device import choose_device

    rank = read_rank(os.environ)
    if asked.settings.shard != (0, 1) and rank.shard != (0, 1):
        raise ValueError("shard: came with processes on several machines, which are shards already")
    if rank.shard[1] > 1:
        asked = replace(asked, settings=replace(asked.settings, shard=rank.shard))
    device = choose_device(asked.device)
    if device == "cuda":
        device = f"cuda:{rank.local}"
    return replace(asked, device=device), rank.speaks


def _dry_run(asked: Batch, *, as_json: bool, quiet: bool) -> None:
    from ..batch.estimate import estimate

    session = new_session("emoji-sd", asked.device, asked.dtype, asked.folders, False)
    with batch_progress(quiet=quiet) as progress:
        found = estimate(asked, session=session, planned=progress.planned)
    print_plan(found, as_json=as_json, quiet=quiet)
    if found.counts.refused:
        raise typer.Exit(SOME_FAILED)
