"""Whole runs of a pipeline that take turns: what each costs over stock, in time and in memory.

A ratio is of two runs of the same turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from ..processors import Control
from ..processors.attach import attach
from .clock import take_turns
from .memory import extra_bytes

__all__ = ["RunRow", "Runs", "Say", "runs_table", "time_runs"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunRow:
    """One way to run.

    ms_*:      of a whole run without the autoencoder, text encoder included.
    times_*:   its time over the stock run's in the same turn.
    extra_mib: memory at the peak beyond what was there before; times_memory: over stock's peak,
               weights included.
    error:     largest difference to the run that it must equal, over the largest latent.
    """

    model: str
    way: str
    size: str
    steps: int
    guidance: float
    dtype: str
    ms_median: float | None = None
    times_median: float | None = None
    times_min: float | None = None
    times_max: float | None = None
    repetitions: int = 0
    extra_mib: float | None = None
    times_memory: float | None = None
    error: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """How the table calls it."""
        return self.way


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of a pipeline on some prompts from the same noise; latents come out."""

    pipe: Any
    size: tuple[int, int]
    steps: int
    guidance: float
    prompts: tuple[str, ...]

    def stock(self, **more: Any) -> Tensor:
        height, width = self.size
        latents: Tensor = self.pipe(
            list(self.prompts),
            height=height,
            width=width,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=self.generators(),
            output_type="latent",
            **more,
        ).images
        return latents

    def under(self, controls: Sequence[Control], **more: Any) -> Tensor:
        with attach(self.pipe, controls):
            return self.stock(**more)

    def generators(self) -> list[torch.Generator]:
        """New ones for each run, one a prompt."""
        return [torch.Generator("cpu").manual_seed(0) for _ in self.prompts]


def time_runs(
    runs: Runs,
    ways: Mapping[str, Callable[[], Tensor]],
    *,
    model: str,
    repetitions: int,
    errors: Mapping[str, float],
    say: Say,
) -> list[RunRow]:
    """One row a way; the first is stock. Each runs once to be warm and once for its memory."""
    pipe, device = runs.pipe, torch.device(runs.pipe.device)
    extra = {}
    for name, run in ways.items():
        say(name)
        run()
        extra[name] = extra_bytes(run, device)
    say(f"{repetitions} turns")
    turns = take_turns([*ways.values()], repetitions=repetitions, device=device)
    held = sum(p.numel() * p.element_size() for p in pipe.unet.parameters())
    stock, base = turns[0], next(iter(extra.values()))
    rows = []
    for name, times in zip(ways, turns, strict=True):
        ratios = [a / b for a, b in zip(times, stock, strict=True)]
        peak = extra[name]
        known = peak is not None and base is not None
        rows.append(
            RunRow(
                model=model,
                way=name,
                size=f"{runs.size[0]}x{runs.size[1]}",
                steps=runs.steps,
                guidance=runs.guidance,
                dtype=str(pipe.unet.dtype).removeprefix("torch."),
                ms_median=median(times),
                times_median=median(ratios),
                times_min=min(ratios),
                times_max=max(ratios),
                repetitions=repetitions,
                extra_mib=None if peak is None else peak / 2**20,
                times_memory=(held + (peak or 0)) / (held + (base or 0)) if known else None,
                error=errors.get(name),
                note=_note(device, pipe.unet.dtype),
            )
        )
    return rows


def runs_table(rows: Sequence[RunRow], stamp: dict[str, str | int]) -> Table:
    """For people; the CSV has every figure."""
    first = rows[0]
    title = (
        f"{first.model}, {first.size}, {first.steps} steps, guidance {first.guidance:g}, "
        f"{first.dtype}; {stamp['device']}, {stamp['threads']} threads"
    )
    out = Table("way", "ms", "× stock", "min–max", "MiB", "× memory", title=title)
    for row in rows:
        out.add_row(
            row.label,
            _short(row.ms_median, "1f"),
            _short(row.times_median, "3f"),
            f"{_short(row.times_min, '3f')}–{_short(row.times_max, '3f')}",
            _short(row.extra_mib, "0f"),
            _short(row.times_memory, "3f"),
        )
    return out


def _note(device: torch.device, dtype: torch.dtype) -> str:
    if device.type == "cpu" and dtype is torch.float32:
        return "fp32: on CPUs without bf16 arithmetic bf16 is slower"
    return ""


def _short(value: float | None, digits: str) -> str:
    return "" if value is None else f"{value:.{digits}}"
