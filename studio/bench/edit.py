"""What steering costs: whole runs of a pipeline, stock and under controls, on the same two prompts.

Runs take turns, and a ratio is of two runs of the same turn. Nothing is timed unless an edit equals
the one with all maps formed, to 1e-5 of the largest latent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from ..pipelines.untrained import untrained_sd15
from ..processors import Control, Interval, KeepLayout, LocalBlend, RecordMaps, ReplaceWords
from ..processors.attach import attach
from ..processors.control import Prompts
from ..processors.families import family_of
from .clock import take_turns
from .memory import extra_bytes
from .official import Method, official

__all__ = ["WAYS", "EditRow", "Runs", "edit_table", "equals_official", "measure_edit", "p2p"]

PROMPTS = ("a red cat on grass", "a red dog on grass")
LIMIT = 1e-5
WAYS = ("attached", "local_blend", "record_maps", "official")
"""What can be timed beside stock and Prompt-to-Prompt."""

_CROSS, _LAYOUT = 0.8, 0.4

Say = Callable[[str], None]


@dataclass(frozen=True)
class EditRow:
    """One way to run.

    ms_*:      of a whole run without the autoencoder, text encoder included.
    times_*:   its time over the stock run's in the same turn.
    extra_mib: memory at the peak beyond what was there before; times_memory: over stock's peak,
               weights included.
    error:     largest difference to the run with all maps formed, over the largest latent.
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


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of a pipeline on PROMPTS from the same noise; latents come out."""

    pipe: Any
    size: tuple[int, int]
    steps: int
    guidance: float

    def stock(self, **more: Any) -> Tensor:
        height, width = self.size
        latents: Tensor = self.pipe(
            list(PROMPTS),
            height=height,
            width=width,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=[torch.Generator("cpu").manual_seed(0) for _ in PROMPTS],
            output_type="latent",
            **more,
        ).images
        return latents

    def under(self, controls: Sequence[Control]) -> Tensor:
        with attach(self.pipe, controls):
            return self.stock()

    def official(self) -> Tensor:
        method = Method(self._token_map(), _steps(_CROSS, self.steps), _steps(_LAYOUT, self.steps))
        with official(self.pipe, method):
            return self.stock(callback_on_step_end=method.stepped)

    def _token_map(self) -> Tensor:
        family = family_of(self.pipe)
        length = self.pipe.tokenizer.model_max_length
        bound = ReplaceWords().bind(
            Prompts(PROMPTS, len(PROMPTS), 1, family.blocks(self.pipe, length))
        )
        assert bound is not None and bound.token_map is not None
        return bound.token_map[0]


def p2p() -> list[Control]:
    """The method as its paper sets it."""
    return [ReplaceWords(Interval(0.0, _CROSS)), KeepLayout(Interval(0.0, _LAYOUT))]


def equals_official(pipe: Any, size: tuple[int, int]) -> float:
    """The error of an edit in four steps; guidance is low, since it multiplies rounding."""
    runs = Runs(pipe, size, 4, 2.0)
    wanted = runs.official()
    return float((runs.under(p2p()) - wanted).abs().max() / wanted.abs().max())


def measure_edit(
    pipe: Any,
    *,
    model: str,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    repetitions: int,
    against: Sequence[str] = WAYS,
    say: Say = lambda _: None,
) -> list[EditRow]:
    """One row a way, stock first; ValueError when an edit is not what it should be.

    The result is checked in fp32 on a small untrained pipeline on the same device.

    against: which of `WAYS`.
    """
    if unknown := sorted(set(against) - set(WAYS)):
        raise ValueError(f"against: {unknown} came; edit knows {', '.join(WAYS)}")
    device = torch.device(pipe.device)
    say("results on a small pipeline")
    small = untrained_sd15(device=device, channels=(32, 64, 64, 64))
    error = equals_official(small, (128, 128))
    if not error <= LIMIT:
        raise ValueError(
            f"edit: refused, since it differs from all maps formed by {error:.2g} on a small "
            f"pipeline, limit {LIMIT:g}"
        )
    runs = Runs(pipe, size, steps, guidance)
    ways: dict[str, Callable[[], Tensor]] = {"stock": runs.stock}
    if "attached" in against:
        ways["attached, no control"] = lambda: runs.under([])
    ways["p2p"] = lambda: runs.under(p2p())
    if "local_blend" in against:
        ways["p2p + local_blend"] = lambda: runs.under([*p2p(), LocalBlend(("cat", "dog"))])
    if "record_maps" in against:
        words = ("red", "cat", "dog")
        ways["p2p + record_maps"] = lambda: runs.under([*p2p(), RecordMaps(words)])
    if "official" in against:
        ways["p2p, all maps formed"] = runs.official
    extra = {}
    for name, run in ways.items():
        say(name)
        run()
        extra[name] = extra_bytes(run, device)
    say(f"{repetitions} turns")
    turns = take_turns([*ways.values()], repetitions=repetitions, device=device)
    held = sum(p.numel() * p.element_size() for p in pipe.unet.parameters())
    stock, base = turns[0], extra["stock"]
    rows = []
    for name, times in zip(ways, turns, strict=True):
        ratios = [a / b for a, b in zip(times, stock, strict=True)]
        peak = extra[name]
        known = peak is not None and base is not None
        rows.append(
            EditRow(
                model=model,
                way=name,
                size=f"{size[0]}x{size[1]}",
                steps=steps,
                guidance=guidance,
                dtype=str(pipe.unet.dtype).removeprefix("torch."),
                ms_median=median(times),
                times_median=median(ratios),
                times_min=min(ratios),
                times_max=max(ratios),
                repetitions=repetitions,
                extra_mib=None if peak is None else peak / 2**20,
                times_memory=(held + (peak or 0)) / (held + (base or 0)) if known else None,
                error=error if name.startswith("p2p") else None,
                note=_note(device, pipe.unet.dtype),
            )
        )
    return rows


def edit_table(rows: Sequence[EditRow], stamp: dict[str, str | int]) -> Table:
    """For people; the CSV has every figure."""
    first = rows[0]
    title = (
        f"{first.model}, {first.size}, {first.steps} steps, guidance {first.guidance:g}, "
        f"{first.dtype}; {stamp['device']}, {stamp['threads']} threads"
    )
    out = Table("way", "ms", "× stock", "min–max", "MiB", "× memory", title=title)
    for row in rows:
        out.add_row(
            row.way,
            _short(row.ms_median, "1f"),
            _short(row.times_median, "3f"),
            f"{_short(row.times_min, '3f')}–{_short(row.times_max, '3f')}",
            _short(row.extra_mib, "0f"),
            _short(row.times_memory, "3f"),
        )
    return out


def _steps(fraction: float, steps: int) -> int:
    """How many steps begin before this part of the run is over."""
    return sum(i / steps < fraction for i in range(steps))


def _note(device: torch.device, dtype: torch.dtype) -> str:
    if device.type == "cpu" and dtype is torch.float32:
        return "fp32: on CPUs without bf16 arithmetic bf16 is slower"
    return ""


def _short(value: float | None, digits: str) -> str:
    return "" if value is None else f"{value:.{digits}}"
