"""The suite `edit`: Prompt-to-Prompt against plain re-prompting with the same seed.

Each edit is drawn as its recipe says (`edit_recipe`, what the command `edit` runs): source and edit
in one call, then the edited prompt alone from the same noise. Models that predict a flow edit once
more, by FlowEdit (`flow`). The judge sees all pictures, and `edit_score` says what counts. A second
part weighs colours (`reweighting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL.Image import Image

from ..drawing import Watch, draw, draw_plain
from ..edit_recipe import edit_recipe
from ..emoji.expect import expect
from ..emoji.judge import tint_strengths
from ..emoji.render import Scene
from ..emoji.score import score
from ..pipelines.edit_defaults import blend_threshold, text_held
from ..processors.families import family_of
from ..recipe import Recipe
from ..sheet import Cell, cell_sheet
from ..weights_digest import weights_digest
from .draw import Progress
from .edit_report import EditReport, Outcome
from .edit_score import EditScore, score_edit
from .edits import KINDS, Edit, draw_edits, draw_weighed
from .flow import FlowSettings, draw_flow, flow_settings
from .judging import Judge, judge_accuracy, the_judge
from .kept import Kept, turns
from .prompts import EDIT_SEEDS, EDIT_TUNING_SEEDS
from .report_files import save_report
from .reweighting import WEIGHTS, Strengths, Weighing, in_order, weigh, weighing_recipe

__all__ = ["Settings", "evaluate_edit"]

Ends = float | tuple[float, float]
_SHOWN = 8  # edits of each kind, and weighed prompts, on the sheets


@dataclass(frozen=True)
class Settings:
    """How edits are made.

    cross_replace, self_replace: ends of the steps in which the edit looks at the text, and lays
                                 things out, as the source does.
    threshold: of the local blend on the changed thing's noun; 1 = no blend.
    flow:      of FlowEdit; None = what `flow_settings` has for the model, if anything.

    Two numbers are for words that are exchanged and words that are added; None = those that the
    command `edit` has for the model.
    """

    cross_replace: Ends | None = None
    self_replace: float = 0.4
    threshold: Ends | None = None
    flow: FlowSettings | None = None

    def on(self, *, joint: bool) -> Settings:
        """With numbers for None; joint: whether the model reads text and picture together."""
        held, cut = (
            tuple(of(joint=joint, adds=adds) for adds in (False, True))
            for of in (partial(text_held, weighed=False), blend_threshold)
        )
        return replace(
            self,
            cross_replace=_one(held) if self.cross_replace is None else self.cross_replace,
            threshold=_one(cut) if self.threshold is None else self.threshold,
        )

    def facts(self) -> dict[str, object]:
        """For JSON; FlowEdit's where it is used."""
        found = asdict(self)
        return found if self.flow else {k: v for k, v in found.items() if k != "flow"}

    def recipe(self, edit: Edit, **base: Any) -> Recipe:
        """What is run for an edit, on a UNet where `on` was not called."""
        known = self.on(joint=False)
        held, cut = (
            end[edit.kind == "refine"] if isinstance(end, tuple) else end
            for end in (known.cross_replace, known.threshold)
        )
        nouns = tuple(dict.fromkeys((edit.before[0], edit.after[0])))
        made = edit_recipe(
            edit.source,
            (edit.target,),
            blend=() if cut == 1 else nouns,
            cross_replace=held,
            self_replace=self.self_replace,
            seed=edit.latent_seed,
            **base,
        )
        facts = made.model_dump()
        for control in facts["controls"]:
            if control["control"] == "local_blend":
                control["threshold"] = cut
        return Recipe.model_validate(facts)


def evaluate_edit(
    pipe: Any,
    *,
    nouns: Sequence[str],
    size: tuple[int, int],
    edits: int = 240,
    weighed: int = 60,
    settings: Settings | None = None,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    tuning: bool = False,
    model: str = "model",
    folder: Path | None = None,
    judge: Judge | None = None,
    strengths: Strengths = tint_strengths,
    progress: Progress | None = None,
    begin: float = 0.0,
    things: Sequence[int] = (1, 2),
) -> EditReport:
    """Draw and judge `edits` edits over `nouns`, then weigh the colours of `weighed` prompts.

    size:     (height, width) in pixels.
    tuning:   draw from the range on which defaults are chosen instead of the one of the figures.
    folder:   where pictures, verdicts, sheets and the report go, if anywhere. Pictures of the same
              run that are there already are judged, not drawn: an interrupted run goes on.
    judge:    None = the packaged one, whose accuracy the report then carries.
    strengths: of a colour over a thing, which the second part compares.
    progress: called with the denoising steps done and those in all.
    begin:    the part of the edits where drawing begins, so that processes can share a folder.
    things:   how many there are in the scenes that are edited, in turn.
    """
    chosen = settings or Settings()
    flow = flow_settings(pipe, chosen.flow)
    chosen = replace(chosen, flow=flow).on(joint=family_of(pipe).joint)
    first = (EDIT_TUNING_SEEDS if tuning else EDIT_SEEDS) + seed
    asked = draw_edits(first, nouns, edits, things)
    colours = draw_weighed(first, nouns, weighed) if weighed else ()
    look = judge or the_judge()
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "size": size}
    facts = {"suite": "edit", "model": model, "weights": weights_digest(pipe), **chosen.facts()}
    asked_of = {"nouns": list(nouns), "seed": seed, "tuning": tuning, "things": list(things)}
    kept = Kept(folder, facts | how | asked_of)
    names = [_names(i, led=flow is not None) for i in range(len(asked))]
    watch = Watch(steps * ((3 if flow else 2) * len(asked) + len(colours)), steps, progress)
    for i in turns(len(asked), begin):
        recipe = chosen.recipe(asked[i], **how)
        pair, plain, led = names[i][:2], names[i][2:3], names[i][3:]
        kept.draw(pair, partial(_pair, pipe, recipe, watch), watch)
        kept.draw(plain, partial(draw_plain, pipe, recipe, watch), watch)
        if flow is not None:
            kept.draw(led, partial(draw_flow, pipe, recipe, flow, watch), watch)
    for i in turns(len(colours), begin):
        recipe = weighing_recipe(colours[i], **how)
        kept.draw(_weight_names(i), partial(_weighed, pipe, recipe, watch), watch)
    drawn = [kept.read(each) for each in names]
    weighed_images = [kept.read(_weight_names(i)) for i in range(len(colours))]
    outcomes = [_judged(*row, look) for row in zip(asked, drawn, strict=True)]
    weighings = [
        weigh(item, images, look, strengths)
        for item, images in zip(colours, weighed_images, strict=True)
    ]
    calls = [name for each in names for name in each[1:]]
    calls += [_weight_names(i)[0] for i in range(len(colours))]
    report = EditReport(
        model=model,
        settings=chosen,
        outcomes=tuple(outcomes),
        weighings=tuple(weighings),
        steps=steps,
        guidance=guidance,
        seed=seed,
        tuning=tuning,
        seconds=round(sum(kept.seconds(name) for name in calls), 1),
        judge=MappingProxyType(dict(judge_accuracy() if judge is None else {})),
    )
    if folder is not None:
        _save(folder, report, drawn, weighed_images)
    return report


def _one(ends: Sequence[float]) -> Ends:
    """One number where both are the same."""
    exchanged, added = ends
    return exchanged if exchanged == added else (exchanged, added)


def _pair(pipe: Any, recipe: Recipe, watch: Watch) -> tuple[Image, ...]:
    return draw(pipe, recipe, watch).images


def _weighed(pipe: Any, recipe: Recipe, watch: Watch) -> tuple[Image, ...]:
    return in_order(draw(pipe, recipe, watch).images)


def _names(i: int, *, led: bool) -> tuple[str, ...]:
    """Of the pictures of an edit: source, edit, plain and, where FlowEdit is one, flow."""
    made = ("source", "edit", "plain", "flow") if led else ("source", "edit", "plain")
    return tuple(f"{i + 1:04d}-{name}" for name in made)


def _weight_names(i: int) -> tuple[str, ...]:
    return tuple(f"weight-{i + 1:04d}-{weight:g}" for weight in WEIGHTS)


def _judged(edit: Edit, pictures: Sequence[Image], look: Judge) -> Outcome:
    source, *made = zip(pictures, look(pictures), strict=True)
    scores = [score_edit(edit, source, picture) for picture in made]
    return Outcome(edit, _as_asked(edit, source[1]), *scores)


def _as_asked(edit: Edit, scene: Scene) -> bool:
    """Whether the source shows the thing that is to change."""
    thing = score(scene, expect(edit.source)).things[edit.thing]
    return thing.found and thing.colour_ok is not False


def _save(
    folder: Path,
    report: EditReport,
    drawn: Sequence[Sequence[Image]],
    weighed: Sequence[Sequence[Image]],
) -> None:
    """Beside the pictures `verdicts.jsonl`, sheets, `report.md`, `report.json`."""
    verdicts = [
        {
            "pictures": [
                f"pictures/{name}.png" for name in _names(i, led=outcome.flow is not None)
            ],
            **outcome.facts(),
        }
        for i, outcome in enumerate(report.outcomes)
    ]
    save_report(folder, report, verdicts)
    pairs = list(zip(report.outcomes, drawn, strict=True))
    rows = [row for kind in KINDS for row in [p for p in pairs if p[0].edit.kind == kind][:_SHOWN]]
    cell_sheet([_cells(outcome, images) for outcome, images in rows]).save(folder / "sheet.png")
    if weighed:
        shown = list(zip(report.weighings, weighed, strict=True))[:_SHOWN]
        cell_sheet([_weights(*row) for row in shown]).save(folder / "weights.png")


def _cells(outcome: Outcome, images: Sequence[Image]) -> list[Cell]:
    edit = outcome.edit
    source = Cell(images[0], edit.source, [f"source {_mark(outcome.source_ok)}"])
    return [source] + [
        Cell(image, edit.target, [f"{name}: {_verdict(verdict)}"])
        for image, (name, verdict) in zip(images[1:], outcome.scores().items(), strict=True)
    ]


def _weights(weighing: Weighing, images: Sequence[Image]) -> list[Cell]:
    found = weighing.strengths or ("–",) * len(images)
    return [
        Cell(image, f"{weighing.asked.colour}, {weight:g} times", [f"strength {_number(value)}"])
        for image, weight, value in zip(images, WEIGHTS, found, strict=True)
    ]


def _verdict(verdict: EditScore) -> str:
    db = "–" if verdict.psnr_outside is None else f"{verdict.psnr_outside:.1f} dB"
    return f"new {_mark(verdict.there)} old gone {_mark(verdict.gone)} outside {db}"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _mark(ok: bool) -> str:
    return "✓" if ok else "✗"
