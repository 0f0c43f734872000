"""The suite `compose`: all things, in their own colours, by each method on the same noise.

Each prompt is drawn once by every method, from the same latents and with the same steps. The judge
sees all pictures. A picture misses a thing when the judge finds fewer of the things than the prompt
names; a colour is wrong when a thing that is found, and whose colour is said, wears another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL.Image import Image

from ..build import build
from ..drawing import Watch, draw
from ..emoji.expect import expect
from ..emoji.render import Scene
from ..emoji.score import score
from ..pipelines.carrying import carrying
from ..pipelines.deprecated_excite import excite_by_diffusers, map_grid
from ..recipe import Recipe
from ..sheet import Cell, cell_sheet
from ..weights_digest import weights_digest
from .compose_methods import DIFFUSERS, METHODS, ComposeSettings, recipe_of
from .compose_prompts import COMPOSE_SEEDS, COMPOSE_TUNING_SEEDS, GROUPS, Composed, draw_composed
from .compose_report import ComposeReport, Outcome, Seen
from .draw import Progress
from .judging import Judge, judge_accuracy, the_judge
from .kept import Kept, turns
from .report_files import save_report

__all__ = ["evaluate_compose"]

_SHOWN = 8  # prompts of each group on the sheet


def evaluate_compose(
    pipe: Any,
    *,
    nouns: Sequence[str],
    size: tuple[int, int],
    prompts: int = 400,
    methods: Sequence[str] = METHODS,
    settings: ComposeSettings | None = None,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    tuning: bool = False,
    model: str = "model",
    folder: Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
    begin: float = 0.0,
) -> ComposeReport:
    """Draw and judge `prompts` prompts, the groups in turn, by every method and by none: the base.

    size:     (height, width) in pixels.
    tuning:   draw from the range on which settings are chosen instead of the one of the figures.
    folder:   where pictures, verdicts, a sheet and the report go, if anywhere. Pictures of the same
              run that are there already are judged, not drawn: an interrupted run goes on.
    judge:    None = the packaged one, whose accuracy the report then carries.
    progress: called with the denoising steps done and those in all.
    begin:    the part of the prompts where drawing begins, so that processes can share a folder.
    """
    unknown = set(methods) - set(METHODS)
    if unknown:
        raise ValueError(f"methods: came {min(unknown)!r}; expected some of {', '.join(METHODS)}")
    chosen = settings or ComposeSettings()
    first = (COMPOSE_TUNING_SEEDS if tuning else COMPOSE_SEEDS) + seed
    asked = draw_composed(first, nouns, prompts)
    names = tuple(name for name in METHODS if name in {"base", *methods})
    look = judge or the_judge()
    watch = Watch(steps * len(asked) * len(names), steps, progress)
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "size": size}
    facts = {"suite": "compose", "model": model, "weights": weights_digest(pipe), **asdict(chosen)}
    asked_of = {"nouns": list(nouns), "seed": seed, "tuning": tuning}
    kept = Kept(folder, facts | how | asked_of)
    moving = recipe_of("segregate", asked[0], chosen, **how)
    for i, name in product(turns(len(asked), begin), names):
        item, recipe = asked[i], recipe_of(name, asked[i], chosen, **how)

        def make(name: str = name, item: Composed = item, recipe: Recipe = recipe) -> list[Image]:
            with carrying(pipe, build(moving, 0)):  # one scheduler for all
                if name == DIFFUSERS:
                    return [_by_diffusers(pipe, item, recipe, chosen, watch)]
                return [draw(pipe, recipe, watch).images[0]]

        kept.draw([_file(i, name)], make, watch)
    outcomes, drawn = [], []
    for i, item in enumerate(asked):
        images = dict(zip(names, kept.read([_file(i, name) for name in names]), strict=True))
        seen = {
            name: _seen(item, scene)
            for name, scene in zip(names, look(list(images.values())), strict=True)
        }
        seconds = {name: kept.seconds(_file(i, name)) for name in names}
        outcomes.append(Outcome(item, MappingProxyType(seen), MappingProxyType(seconds)))
        drawn.append(images)
    report = ComposeReport(
        model=model,
        methods=names,
        settings=chosen,
        outcomes=tuple(outcomes),
        steps=steps,
        guidance=guidance,
        seed=seed,
        tuning=tuning,
        seconds=round(sum(sum(outcome.seconds.values()) for outcome in outcomes), 1),
        judge=MappingProxyType(dict(judge_accuracy() if judge is None else {})),
    )
    if folder is not None:
        _save(folder, report, drawn)
    return report


def _file(i: int, method: str) -> str:
    return f"{i + 1:04d}-{method.replace(' ', '-')}"


def _by_diffusers(
    pipe: Any, item: Composed, recipe: Any, settings: ComposeSettings, watch: Watch
) -> Image:
    import torch

    height, width = recipe.size

    def after_step(step: int, _t: int, latents: Any) -> None:
        watch(None, step, None, {})

    found: Image = excite_by_diffusers(
        pipe,
        item.prompt,
        item.nouns,
        grid=map_grid(pipe, recipe.size),
        steps=recipe.steps,
        scale=settings.excite,
        callback=after_step,
        guidance_scale=recipe.guidance,
        height=height,
        width=width,
        generator=torch.Generator("cpu").manual_seed(recipe.seed),
    ).images[0]
    return found


def _seen(item: Composed, scene: Scene) -> Seen:
    things = score(scene, expect(item.prompt)).things
    coloured = [thing for thing in things if thing.found and thing.colour_ok is not None]
    return Seen(
        things=len(things),
        missing=sum(not thing.found for thing in things),
        coloured=len(coloured),
        wrong=sum(not thing.colour_ok for thing in coloured),
    )


def _save(folder: Path, report: ComposeReport, drawn: Sequence[dict[str, Image]]) -> None:
    """Beside the pictures `verdicts.jsonl`, a sheet, `report.md`, `report.json`."""
    verdicts = []
    for i, outcome in enumerate(report.outcomes):
        names = {name: f"pictures/{_file(i, name)}.png" for name in report.methods}
        verdicts.append({"pictures": names, **outcome.facts()})
    save_report(folder, report, verdicts)
    pairs = list(zip(report.outcomes, drawn, strict=True))
    rows = [
        pair
        for group in GROUPS
        for pair in [p for p in pairs if p[0].asked.group == group][:_SHOWN]
    ]
    cell_sheet([_cells(outcome, images) for outcome, images in rows]).save(folder / "sheet.png")


def _cells(outcome: Outcome, images: dict[str, Image]) -> list[Cell]:
    found = []
    for name, image in images.items():
        seen = outcome.seen[name]
        note = f"{name}: {seen.missing} missing, {seen.wrong} of {seen.coloured} colours wrong"
        found.append(Cell(image, outcome.asked.prompt, [note]))
    return found
