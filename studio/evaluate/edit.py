"""The suite `edit`: Prompt-to-Prompt against plain re-prompting with the same seed.

Each edit is drawn as its recipe says (`edit_recipe`, what the command `edit` runs): source and edit
in one call, then the edited prompt alone from the same noise. The judge sees all three, and
`edit_score` says what counts. A second part weighs colours (`reweighting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from ..recipe import Recipe
from ..sheet import Cell, cell_sheet
from ..weights_digest import weights_digest
from .draw import Progress
from .edit_report import EditReport, Outcome
from .edit_score import EditScore, score_edit
from .edits import KINDS, Edit, draw_edits, draw_weighed
from .judging import Judge, judge_accuracy, the_judge
from .kept import Kept, turns
from .prompts import EDIT_SEEDS, EDIT_TUNING_SEEDS
from .report_files import save_report
from .reweighting import WEIGHTS, Strengths, Weighing, in_order, weigh, weighing_recipe

__all__ = ["Settings", "evaluate_edit"]

_SHOWN = 8  # edits of each kind, and weighed prompts, on the sheets


@dataclass(frozen=True)
class Settings:
    """How edits are made.

    cross_replace, self_replace: ends of the steps in which the edit looks at the text, and lays
                                 things out, as the source does.
    threshold: of the local blend on the changed thing's noun; None = no blend.
    """

    cross_replace: float = 0.8
    self_replace: float = 0.4
    threshold: float | None = 0.3

    def recipe(self, edit: Edit, **base: Any) -> Recipe:
        """What is run for an edit."""
        nouns = tuple(dict.fromkeys((edit.before[0], edit.after[0])))
        made = edit_recipe(
            edit.source,
            (edit.target,),
            blend=() if self.threshold is None else nouns,
            cross_replace=self.cross_replace,
            self_replace=self.self_replace,
            seed=edit.latent_seed,
            **base,
        )
        facts = made.model_dump()
        for control in facts["controls"]:
            if control["control"] == "local_blend":
                control["threshold"] = self.threshold
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
    first = (EDIT_TUNING_SEEDS if tuning else EDIT_SEEDS) + seed
    asked = draw_edits(first, nouns, edits, things)
    colours = draw_weighed(first, nouns, weighed) if weighed else ()
    look = judge or the_judge()
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "size": size}
    facts = {"suite": "edit", "model": model, "weights": weights_digest(pipe), **asdict(chosen)}
    asked_of = {"nouns": list(nouns), "seed": seed, "tuning": tuning, "things": list(things)}
    kept = Kept(folder, facts | how | asked_of)
    watch = Watch(steps * (2 * len(asked) + len(colours)), steps, progress)
    for i in turns(len(asked), begin):
        recipe = chosen.recipe(asked[i], **how)
        pair, plain = _names(i)[:2], _names(i)[2:]
        kept.draw(pair, partial(_pair, pipe, recipe, watch), watch)
        kept.draw(plain, partial(draw_plain, pipe, recipe, watch), watch)
    for i in turns(len(colours), begin):
        recipe = weighing_recipe(colours[i], **how)
        kept.draw(_weight_names(i), partial(_weighed, pipe, recipe, watch), watch)
    drawn = [kept.read(_names(i)) for i in range(len(asked))]
    weighed_images = [kept.read(_weight_names(i)) for i in range(len(colours))]
    outcomes = [_judged(*row, look) for row in zip(asked, drawn, strict=True)]
    weighings = [
        weigh(item, images, look, strengths)
        for item, images in zip(colours, weighed_images, strict=True)
    ]
    calls = [name for i in range(len(asked)) for name in _names(i)[1:]]
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


def _pair(pipe: Any, recipe: Recipe, watch: Watch) -> tuple[Image, ...]:
    return draw(pipe, recipe, watch).images


def _weighed(pipe: Any, recipe: Recipe, watch: Watch) -> tuple[Image, ...]:
    return in_order(draw(pipe, recipe, watch).images)


def _names(i: int) -> tuple[str, str, str]:
    """Of the pictures of an edit: source, edit, plain."""
    return f"{i + 1:04d}-source", f"{i + 1:04d}-edit", f"{i + 1:04d}-plain"


def _weight_names(i: int) -> tuple[str, ...]:
    return tuple(f"weight-{i + 1:04d}-{weight:g}" for weight in WEIGHTS)


def _judged(edit: Edit, pictures: Sequence[Image], look: Judge) -> Outcome:
    source, edited, plain = zip(pictures, look(pictures), strict=True)
    return Outcome(
        edit=edit,
        source_ok=_as_asked(edit, source[1]),
        ours=score_edit(edit, source, edited),
        plain=score_edit(edit, source, plain),
    )


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
        {"pictures": [f"pictures/{name}.png" for name in _names(i)], **outcome.facts()}
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
    return [
        Cell(images[0], edit.source, [f"source {_mark(outcome.source_ok)}"]),
        Cell(images[1], edit.target, [f"edit: {_verdict(outcome.ours)}"]),
        Cell(images[2], edit.target, [f"plain: {_verdict(outcome.plain)}"]),
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
