"""The suite `ground`: how much of the thing that is meant is found, rule by rule.

Each rule of RefAM is added to those before it. Beside the mean IoU stands what the best union of
the map's cells would reach, since no map can be finer than its grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pipelines.grounding import Grounding, ground_many
from ..processors.grounding import GroundRules
from ..sheet import Cell, cell_sheet
from .draw import Progress
from .ground_report import GroundOutcome, GroundReport, Hit
from .ground_scenes import GROUND_SEEDS, GROUND_TUNING_SEEDS, GroundScene, draw_scenes
from .heat import overlay
from .report_files import save_report

__all__ = ["RULES", "evaluate_ground", "grid_limit"]

_SINKS = replace(GroundRules.plain(), sinks=True)
_MAGNETS = replace(_SINKS, stop_words=True)
_REDISTRIBUTION = replace(_MAGNETS, magnets=GroundRules().magnets)

RULES: Mapping[str, GroundRules] = MappingProxyType(
    {
        "plain maps": GroundRules.plain(),
        "+ sinks": _SINKS,
        "+ magnets": _MAGNETS,
        "+ redistribution": _REDISTRIBUTION,
        "+ phrase and place": GroundRules(),
    }
)
"""Name -> rules, each with what those before it have: sinks are suppressed, the expression's stop
words dropped, magnets appended, words before the first preposition and of place understood."""

_SHOWN = 8  # scenes on the sheet


def evaluate_ground(
    pipe: Any,
    *,
    nouns: Sequence[str],
    size: int,
    scenes: int = 240,
    noise: float | None = None,
    batch: int = 8,
    seed: int = 0,
    tuning: bool = False,
    model: str = "model",
    folder: Path | None = None,
    progress: Progress | None = None,
) -> GroundReport:
    """Ground `scenes` expressions, the groups in turn, by every rung of `RULES`.

    size:   side of the scenes in pixels.    noise: None = the family's own.
    tuning: draw from the range on which settings are chosen instead of the one of the figures.
    folder: where verdicts, a sheet and the report go, if anywhere.
    """
    if batch < 1:
        raise ValueError(f"batch: {batch} came; expected at least 1")
    first = (GROUND_TUNING_SEEDS if tuning else GROUND_SEEDS) + seed
    drawn = draw_scenes(first, nouns, scenes, size)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # better to fail before the work than after it
    start, done, outcomes = perf_counter(), 0, list[GroundOutcome]()
    shown: list[tuple[GroundScene, Mapping[str, Grounding], GroundOutcome]] = []
    total = len(drawn) * len(RULES)
    for at in range(0, len(drawn), batch):
        part = drawn[at : at + batch]
        pictures = [Image.fromarray(scene.image) for scene in part]
        found: dict[str, tuple[Grounding, ...]] = {}
        for name, rules in RULES.items():
            found[name] = ground_many(
                pipe,
                pictures,
                [scene.expression for scene in part],
                rules=rules,
                noise=None if noise is None else (noise,),
            )
            done += len(part)
            if progress is not None:
                progress(done, total)
        for i, scene in enumerate(part):
            of = {name: each[i] for name, each in found.items()}
            outcomes.append(_outcome(scene, of))
            if len(shown) < _SHOWN:
                shown.append((scene, of, outcomes[-1]))
    report = GroundReport(
        model=model,
        rules=tuple(RULES),
        outcomes=tuple(outcomes),
        noise=noise,
        seed=seed,
        tuning=tuning,
        seconds=round(perf_counter() - start, 1),
    )
    if folder is not None:
        _save(folder, report, shown)
    return report


def grid_limit(truth: NDArray[np.bool_], grid: tuple[int, int]) -> float:
    """The best IoU that a union of the grid's cells can have with bool pixels [H, W].

    Of k cells the k fullest ones are best, so all k are tried. H and W are multiples of the grid's
    sides, or the cells' borders are rounded to pixels.
    """
    height, width = truth.shape
    rows = np.linspace(0, height, grid[0] + 1).round().astype(int)
    columns = np.linspace(0, width, grid[1] + 1).round().astype(int)
    pairs = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = truth[top:bottom, left:right]
            pairs.append((int(cell.sum()), cell.size))
    pairs.sort(key=lambda pair: -pair[0] / max(pair[1], 1))
    inside, area = np.cumsum(np.array(pairs), 0).T
    return float((inside / (truth.sum() + area - inside)).max())


def _outcome(scene: GroundScene, found: Mapping[str, Grounding]) -> GroundOutcome:
    hits = {}
    for name, one in found.items():
        mask, (x, y) = one.mask.numpy(), one.point_px
        iou = float((mask & scene.truth).sum() / (mask | scene.truth).sum())
        hits[name] = Hit(iou, bool(scene.truth[y, x]), one.seconds)
    shape = next(iter(found.values())).heat.shape
    limit = grid_limit(scene.truth, (shape[0], shape[1]))
    return GroundOutcome(scene.group, scene.expression, limit, MappingProxyType(hits))


def _save(
    folder: Path,
    report: GroundReport,
    shown: Sequence[tuple[GroundScene, Mapping[str, Grounding], GroundOutcome]],
) -> None:
    """`verdicts.jsonl`, a sheet of the first scenes, `report.md`, `report.json`."""
    save_report(folder, report, [outcome.facts() for outcome in report.outcomes])
    cell_sheet([list(_cells(*one)) for one in shown]).save(folder / "sheet.png")


def _cells(
    scene: GroundScene, found: Mapping[str, Grounding], outcome: GroundOutcome
) -> Iterator[Cell]:
    picture = Image.fromarray(scene.image)
    for name, one in found.items():
        hit = outcome.hits[name]
        note = f"{name}: IoU {hit.iou:.2f}{'' if hit.pointed else ', points elsewhere'}"
        image = overlay(picture, one.heat.numpy(), one.mask.numpy())
        yield Cell(image, scene.expression, [note])
