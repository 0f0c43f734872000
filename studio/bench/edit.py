"""What editing costs: whole runs of a pipeline, stock and under controls, on the same two prompts.

Nothing is timed unless an edit equals the one with all maps formed, to 1e-5 of the largest latent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..pipelines.untrained import untrained_sd15
from ..processors import Control, Interval, KeepLayout, LocalBlend, RecordMaps, ReplaceWords
from ..processors.control import Prompts
from ..processors.families import family_of
from .official import Method, official
from .runs import RunRow, Runs, Say, time_runs

__all__ = ["WAYS", "EditRuns", "equals_official", "measure_edit", "p2p"]

PROMPTS = ("a red cat on grass", "a red dog on grass")
LIMIT = 1e-5
WAYS = ("attached", "local_blend", "record_maps", "official")
"""What can be timed beside stock and Prompt-to-Prompt."""

_CROSS, _LAYOUT = 0.8, 0.4


@dataclass(frozen=True, eq=False)
class EditRuns(Runs):
    """Runs on a source and its edit."""

    prompts: tuple[str, ...] = PROMPTS

    def official(self) -> Tensor:
        method = Method(self._token_map(), _steps(_CROSS, self.steps), _steps(_LAYOUT, self.steps))
        with official(self.pipe, method):
            return self.stock(callback_on_step_end=method.stepped)

    def _token_map(self) -> Tensor:
        family = family_of(self.pipe)
        length = self.pipe.tokenizer.model_max_length
        bound = ReplaceWords().bind(
            Prompts(self.prompts, len(self.prompts), 1, family.blocks(self.pipe, length))
        )
        assert bound is not None and bound.token_map is not None
        return bound.token_map[0]


def p2p() -> list[Control]:
    """The method as its paper sets it."""
    return [ReplaceWords(Interval(0.0, _CROSS)), KeepLayout(Interval(0.0, _LAYOUT))]


def equals_official(pipe: Any, size: tuple[int, int]) -> float:
    """The error of an edit in four steps; guidance is low, since it multiplies rounding."""
    runs = EditRuns(pipe, size, 4, 2.0)
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
) -> list[RunRow]:
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
    runs = EditRuns(pipe, size, steps, guidance)
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
    errors = {name: error for name in ways if name.startswith("p2p")}
    return time_runs(runs, ways, model=model, repetitions=repetitions, errors=errors, say=say)


def _steps(fraction: float, steps: int) -> int:
    """How many steps begin before this part of the run is over."""
    return sum(i / steps < fraction for i in range(steps))
