"""The suite `regions`: each region's thing in its region, by each mode of `region_prompts`.

Each prompt is drawn without the control, the base, and by every mode of it, from the same latents
and with the same steps; `boxes + layout` moves the latents too. The judge sees all pictures;
`regions_score` says what counts as inside. Words have no place before they are looked at, so the
places of `words` are those that the control finds, and the base is judged at them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..build import build
from ..drawing import Watch, draw
from ..pipelines.carrying import carrying
from ..processors.controls.concepts import smoothed
from ..recipe import Recipe
from ..sheet import Cell, cell_sheet
from ..weights_digest import weights_digest
from .draw import Progress
from .judging import Judge, judge_accuracy, the_judge
from .kept import Kept, turns
from .regions_methods import MOVED, REGION_METHODS, RegionSettings, recipe_of
from .regions_prompts import GROUPS, REGION_SEEDS, REGION_TUNING_SEEDS, Placed, draw_placed
from .regions_report import BASE_AT_WORDS, RegionOutcome, RegionReport
from .regions_score import Seen, rasterised, seen_in
from .report_files import save_report

__all__ = ["evaluate_regions"]

_SHOWN = 5  # prompts of each group on the sheet
_PART = 0.5  # of a word's map, as the control has it: its place is where the map is so high
_RIMS = {"white": (255, 255, 255), "black": (0, 0, 0), "yellow": (250, 216, 36)}

Places = NDArray[np.bool_]


def evaluate_regions(
    pipe: Any,
    *,
    nouns: Sequence[str],
    size: tuple[int, int],
    prompts: int = 240,
    methods: Sequence[str] = REGION_METHODS,
    settings: RegionSettings | None = None,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    tuning: bool = False,
    model: str = "model",
    folder: Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
    begin: float = 0.0,
) -> RegionReport:
    """Draw and judge `prompts` prompts, the layouts in turn, by every method and by none: the base.

    size:     (height, width) in pixels.
    tuning:   draw from the range on which settings are chosen instead of the one of the figures.
    folder:   where pictures, verdicts, a sheet and the report go, if anywhere. Pictures of the same
              run that are there already are judged, not drawn: an interrupted run goes on.
    judge:    None = the packaged one, whose accuracy the report then carries.
    progress: called with the denoising steps done and those in all.
    begin:    the part of the prompts where drawing begins, so that processes can share a folder.
    """
    unknown = set(methods) - set(REGION_METHODS)
    if unknown:
        known = ", ".join(REGION_METHODS)
        raise ValueError(f"methods: came {min(unknown)!r}; expected some of {known}")
    chosen = settings or RegionSettings()
    names = tuple(name for name in REGION_METHODS if name in {"base", *methods})
    if "words" in names and not chosen.during[0] <= chosen.looks < chosen.during[1]:
        raise ValueError(
            f"settings: words have a place after {chosen.looks:g} of the steps, regions hold in "
            f"{chosen.during}; expected a place while they hold, or methods without 'words'"
        )
    first = (REGION_TUNING_SEEDS if tuning else REGION_SEEDS) + seed
    asked = draw_placed(first, nouns, prompts)
    look = judge or the_judge()
    watch = Watch(steps * len(asked) * len(names), steps, progress)
    facts = {"suite": "regions", "model": model, "weights": weights_digest(pipe), **asdict(chosen)}
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "size": size}
    asked_of = {"nouns": list(nouns), "seed": seed, "tuning": tuning}
    kept = Kept(folder, facts | how | asked_of)
    moving = build(recipe_of(MOVED, asked[0], chosen, **how), 0)
    for i in turns(len(asked), begin):
        for name in names:
            recipe = recipe_of(name, asked[i], chosen, **how)

            def make(recipe: Recipe = recipe, item: Placed = asked[i]) -> list[Image.Image]:
                with carrying(pipe, moving):  # one scheduler for all
                    drawing = draw(pipe, recipe, watch)
                places = [_place(drawing.maps[n][0], size) for n in item.nouns if drawing.maps]
                return [drawing.images[0], *places]

            kept.draw(_files(i, name, asked[i]), make, watch)
    outcomes, shown = [], []
    for i, item in enumerate(asked):
        read = {name: kept.read(_files(i, name, item)) for name in names}
        images = {name: pictures[0] for name, pictures in read.items()}
        boxes = rasterised(item.boxes, size)
        seen: dict[str, Seen] = {}
        places: dict[str, Places] = {}
        scenes = dict(zip(names, look(list(images.values())), strict=True))
        for name in names:
            places[name] = boxes
            if name == "words":
                places[name] = np.stack([np.asarray(p.convert("L")) > 0 for p in read[name][1:]])
                seen[BASE_AT_WORDS] = seen_in(scenes["base"], item, places[name])
            seen[name] = seen_in(scenes[name], item, places[name])
        seconds = {name: kept.seconds(_file(i, name.removesuffix(" at words"))) for name in seen}
        outcomes.append(RegionOutcome(item, MappingProxyType(seen), MappingProxyType(seconds)))
        shown.append({name: _outlined(image, places[name]) for name, image in images.items()})
    report = RegionReport(
        model=model,
        methods=tuple(outcomes[0].seen),
        settings=chosen,
        outcomes=tuple(outcomes),
        steps=steps,
        guidance=guidance,
        seed=seed,
        tuning=tuning,
        seconds=round(sum(o.seconds[name] for o in outcomes for name in names), 1),
        judge=MappingProxyType(dict(judge_accuracy() if judge is None else {})),
    )
    if folder is not None:
        _save(folder, report, shown)
    return report


def _file(i: int, method: str) -> str:
    return f"{i + 1:04d}-{method.replace(' ', '-')}"


def _files(i: int, method: str, asked: Placed) -> list[str]:
    """A picture, and of words the place of each."""
    places = range(len(asked.nouns)) if method == "words" else ()
    return [_file(i, method), *(f"{_file(i, method)}-place-{p + 1}" for p in places)]


def _place(heat: NDArray[np.float32] | None, size: tuple[int, int]) -> Image.Image:
    """A word's region, as the control finds it from the same map."""
    assert heat is not None
    smooth = smoothed(torch.from_numpy(heat)[None])[0]
    place = Image.fromarray((smooth >= _PART * smooth.max()).numpy())
    return place.resize(size[::-1], Image.Resampling.NEAREST)


def _outlined(picture: Image.Image, places: Places) -> Image.Image:
    """The picture with the inner rim of each region in a colour of its own."""
    pixels = np.asarray(picture.convert("RGB")).copy()
    for place, ink in zip(places, _RIMS.values(), strict=False):
        around = np.pad(place, 1)
        inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        pixels[place & ~inner] = ink
    return Image.fromarray(pixels)


def _save(folder: Path, report: RegionReport, shown: Sequence[Mapping[str, Image.Image]]) -> None:
    """Beside the pictures `verdicts.jsonl`, a sheet, `report.md`, `report.json`."""
    save_report(folder, report, [outcome.facts() for outcome in report.outcomes])
    pairs = list(zip(report.outcomes, shown, strict=True))
    rows = [
        _cells(outcome, images)
        for group in GROUPS
        for outcome, images in [pair for pair in pairs if pair[0].asked.group == group][:_SHOWN]
    ]
    cell_sheet(rows).save(folder / "sheet.png")


def _cells(outcome: RegionOutcome, images: Mapping[str, Image.Image]) -> list[Cell]:
    found = []
    for name, image in images.items():
        marks = [
            f"{rim}: {noun} {'✓' if verdict.right else '✗'}"
            for rim, noun, verdict in zip(
                _RIMS, outcome.asked.nouns, outcome.seen[name].regions, strict=False
            )
        ]
        found.append(Cell(image, outcome.asked.prompt, [name, " · ".join(marks)]))
    return found
