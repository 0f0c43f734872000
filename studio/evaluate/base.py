"""The suite `base`: how often a stock pipeline draws what its prompt says, by the judge.

Prompts come in balanced groups (`prompts.draw_prompts`): one thing, two things, three things, and
styles apart; half of each holds a combination of noun and noun, or of noun and colour, that
training never sees. Each figure is a count out of a count, with Wilson's 95 % interval, and is
printed with the judge's own accuracy, since no figure can be better than the judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

from PIL.Image import Image

from ..emoji.expect import expect
from ..emoji.score import Score, score
from ..sheet import contact_sheet
from .draw import Pipeline, Progress, draw
from .judging import Judge, accuracy_lines, judge_accuracy, the_judge
from .prompts import EVALUATION_SEEDS, GROUPS, SPLITS, Asked, draw_prompts
from .rates import Rate, rate_of
from .report_files import save_report

__all__ = ["BaseReport", "Figure", "NounRecall", "evaluate_base"]

Answers = Iterable[bool | None]

_DIRECTIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Figure:
    """How often the answer to `question` was right in a group ("all" = every group) and split."""

    group: str
    split: str
    question: str
    rate: Rate


@dataclass(frozen=True)
class NounRecall:
    """How often a noun that was asked for is there."""

    noun: str
    rate: Rate


@dataclass(frozen=True)
class BaseReport:
    """What was measured, on which settings, by which judge.

    judge: the judge's own figures on rendered truth; empty when its card has none.
    """

    model: str
    pictures: int
    steps: int
    guidance: float
    seed: int
    seconds: float
    figures: tuple[Figure, ...]
    nouns: tuple[NounRecall, ...]
    judge: Mapping[str, object]

    def rate(self, group: str, question: str, split: str = "all") -> Rate:
        """One figure; a group, question or split that was not measured is an error."""
        for figure in self.figures:
            if (figure.group, figure.question, figure.split) == (group, question, split):
                return figure.rate
        known = sorted({f"{figure.group} / {figure.question}" for figure in self.figures})
        raise ValueError(
            f"group, question: {group!r} / {question!r} ({split}) came; "
            f"expected one of {', '.join(known)}"
        )

    def table(self) -> str:
        """Markdown: the figures, the recall of each noun, the judge's accuracy."""
        lines = [
            f"{self.model}: {self.pictures} prompts, {self.steps} steps, guidance "
            f"{self.guidance:g}, seed {self.seed}; right answers with Wilson's 95 % interval.",
            "",
            "| group | right | all | seen | held out |",
            "|---|---|---|---|---|",
        ]
        for group, question in dict.fromkeys((f.group, f.question) for f in self.figures):
            cells = [self.rate(group, question, split).text() for split in ("all", *SPLITS)]
            lines.append(f"| {group} | {question} | {' | '.join(cells)} |")
        lines += ["", "| noun asked for | is there |", "|---|---|"]
        lines += [f"| {recall.noun} | {recall.rate.text()} |" for recall in self.nouns]
        lines += accuracy_lines(self.judge)
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """One JSON object, the facts of `table`."""
        return json.dumps(
            {
                "suite": "base",
                "model": self.model,
                "pictures": self.pictures,
                "steps": self.steps,
                "guidance": self.guidance,
                "seed": self.seed,
                "seconds": self.seconds,
                "figures": [
                    {"group": f.group, "split": f.split, "question": f.question, **f.rate.facts()}
                    for f in self.figures
                ],
                "nouns": [{"noun": r.noun, **r.rate.facts()} for r in self.nouns],
                "judge": dict(self.judge),
            },
            indent=2,
        )


def evaluate_base(
    pipe: Pipeline,
    *,
    nouns: Sequence[str],
    prompts: int = 240,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    batch: int = 8,
    model: str = "model",
    folder: Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
) -> BaseReport:
    """Draw `prompts` prompts over `nouns` and judge the pictures.

    model:    the name in the report.
    folder:   where pictures, prompts with verdicts, contact sheets and the report go, if anywhere.
    judge:    None = the packaged one, whose accuracy the report then carries.
    progress: called with the picture-steps done and those in all.
    """
    start = perf_counter()
    asked = draw_prompts(EVALUATION_SEEDS + seed, nouns, prompts)
    look = judge or the_judge()
    images: list[Image] = []
    scores: list[Score] = []
    for part in draw(
        pipe,
        [item.prompt for item in asked],
        [item.latent_seed for item in asked],
        steps=steps,
        guidance=guidance,
        batch=batch,
        progress=progress,
    ):
        first = len(images)
        images += part
        for item, scene in zip(asked[first : len(images)], look(part), strict=True):
            scores.append(score(scene, expect(item.prompt)))
    report = BaseReport(
        model=model,
        pictures=len(asked),
        steps=steps,
        guidance=guidance,
        seed=seed,
        seconds=round(perf_counter() - start, 1),
        figures=tuple(_figures(asked, scores)),
        nouns=tuple(_recalls(nouns, scores)),
        judge=MappingProxyType(dict(judge_accuracy() if judge is None else {})),
    )
    if folder is not None:
        _save(folder, report, asked, images, scores)
    return report


def _relation(name: str | None = None) -> Callable[[Score], Answers]:
    """Whether the relation holds, where it is a direction and both things are there."""

    def answers(verdict: Score) -> Answers:
        asked = verdict.expectation.relation
        there = all(thing.found for thing in verdict.things[:2])
        if asked in ((name,) if name else _DIRECTIONS) and there:
            yield verdict.relation_ok

    return answers


_QUESTIONS: Mapping[str, Callable[[Score], Answers]] = MappingProxyType(
    {
        "all nouns": lambda verdict: (verdict.nouns_ok,),
        "all colours that are said": lambda verdict: (verdict.colours_ok,),
        "colour, of the things there": lambda verdict: (
            thing.colour_ok for thing in verdict.things if thing.found
        ),
        "relation, both things there": _relation(),
        **{f"{name}, both things there": _relation(name) for name in _DIRECTIONS},
        "background": lambda verdict: (verdict.background_ok,),
        "style": lambda verdict: (verdict.style_ok,),
    }
)


def _figures(asked: Sequence[Asked], scores: Sequence[Score]) -> Iterator[Figure]:
    """Every question that was asked in a group, in all of it and in its splits."""
    for group in (*GROUPS, "all"):
        for question, answers in _QUESTIONS.items():
            rates = {
                split: rate_of(
                    answer
                    for item, verdict in zip(asked, scores, strict=True)
                    if group in (item.group, "all") and split in (item.split, "all")
                    for answer in answers(verdict)
                )
                for split in ("all", *SPLITS)
            }
            if rates["all"].asked:
                for split, rate in rates.items():
                    yield Figure(group, split, question, rate)


def _recalls(nouns: Sequence[str], scores: Sequence[Score]) -> Iterator[NounRecall]:
    things = [thing for verdict in scores for thing in verdict.things]
    for noun in nouns:
        yield NounRecall(noun, rate_of(thing.found for thing in things if thing.noun == noun))


def _save(
    folder: Path,
    report: BaseReport,
    asked: Sequence[Asked],
    images: Sequence[Image],
    scores: Sequence[Score],
) -> None:
    """`pictures/`, `verdicts.jsonl`, `sheet-<group>.png`, `report.md`, `report.json`."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    verdicts = []
    for i, (item, image, verdict) in enumerate(zip(asked, images, scores, strict=True), 1):
        image.save(folder / "pictures" / f"{i:04d}.png")
        facts = {
            "picture": f"pictures/{i:04d}.png",
            "prompt": item.prompt,
            "group": item.group,
            "split": item.split,
            "latent_seed": item.latent_seed,
            "nouns_ok": verdict.nouns_ok,
            "colours_ok": verdict.colours_ok,
            "relation_ok": verdict.relation_ok,
            "background_ok": verdict.background_ok,
            "style_ok": verdict.style_ok,
            "verdict": verdict.text(),
        }
        verdicts.append(facts)
    for group in GROUPS:
        chosen = [i for i, item in enumerate(asked) if item.group == group]
        contact_sheet(
            [images[i] for i in chosen],
            [asked[i].prompt for i in chosen],
            [scores[i].text() for i in chosen],
            columns=min(len(chosen), 10),
        ).save(folder / f"sheet-{group.replace(' ', '-')}.png")
    save_report(folder, report, verdicts)
