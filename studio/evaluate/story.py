"""The suite `story`: the same subjects in portraits and scenes, by each method on the same noise.

Of each story the portraits are drawn with stock attention, anew until the judge sees one thing in
each, the right one in its colour; then the scene with stock attention: the base, in which places
are found, and where ways ask for it (`story_ways`) the same with words of the portraits. Every
method then draws the scene beside the portraits, from the same noises and with the same places;
whoever has no place is left alone. Methods share what is remembered of a story's portraits, so the
seconds of most are those of a further scene. The judge compares all scenes with the portraits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..drawing import Watch
from ..pipelines.completion import completed
from ..pipelines.portrait_memories import Memories
from ..pipelines.story import Story
from ..pipelines.story_parts import Cast
from ..sheet import Cell, cell_sheet
from ..story.by_judge import by_judge
from ..weights_digest import weights_digest
from .draw import Progress
from .judging import Judge, judge_accuracy, judge_digest, the_judge
from .kept import Kept, turns
from .report_files import save_report
from .story_prompts import GROUPS, STORY_SEEDS, STORY_TUNING_SEEDS, Told, draw_stories
from .story_report import Masks, StoryOutcome, StoryReport
from .story_score import Portrait, portrait_in, seen_in
from .story_ways import STORY_WAYS

__all__ = ["evaluate_story"]

_TRIES = 8  # portraits, until one shows what it should
_SHOWN = 6  # stories of each group on the sheet


def evaluate_story(
    pipe: Any,
    *,
    nouns: Sequence[str],
    size: tuple[int, int],
    prompts: int = 200,
    methods: Sequence[str] = tuple(STORY_WAYS),
    masks: Masks = "judge",
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    tuning: bool = False,
    model: str = "model",
    folder: Path | None = None,
    judge: Judge | None = None,
    progress: Progress | None = None,
    begin: float = 0.0,
) -> StoryReport:
    """Draw and judge `prompts` stories of one scene, the groups in turn, by every method.

    size:     (height, width) in pixels.
    masks:    who says where subjects are.
    tuning:   draw from the range on which settings are chosen instead of the one of the figures.
    folder:   where pictures, verdicts, a sheet and the report go, if anywhere. Pictures of the same
              run that are there already are judged, not drawn: an interrupted run goes on.
    judge:    None = the packaged one, whose accuracy the report then carries.
    progress: called with the denoising steps done and those in all, portraits not counted.
    begin:    the part of the stories where drawing begins, so that processes can share a folder.
    """
    unknown = set(methods) - set(STORY_WAYS)
    if unknown:
        known = ", ".join(STORY_WAYS)
        raise ValueError(f"methods: came {min(unknown)!r}; expected some of {known}")
    if masks not in ("judge", "words"):
        raise ValueError(f"masks: came {masks!r}; expected 'judge' or 'words'")
    asked = draw_stories((STORY_TUNING_SEEDS if tuning else STORY_SEEDS) + seed, nouns, prompts)
    completing = ["words"] if any(STORY_WAYS[name].complete for name in methods) else []
    names = tuple(name for name in STORY_WAYS if name in {"base", *completing, *methods})
    height, width = size
    how = {"num_inference_steps": steps, "height": height, "width": width}
    facts = {
        "suite": "story",
        "guidance_scale": guidance,
        "model": model,
        "weights": weights_digest(pipe),
        "masks": masks,
        "judge": judge_digest() if judge is None else "given",  # it chooses portraits
        "nouns": list(nouns),
        "seed": seed,
        "tuning": tuning,
    }
    watch = Watch(steps * len(asked) * len(names), steps, progress)
    stage = _Stage(
        pipe, Kept(folder, facts | how), judge or the_judge(), masks, guidance, how, watch
    )
    for i in turns(len(asked), begin):
        stage.draw(i, asked[i], names)
    outcomes, shown = [], []
    for i, told in enumerate(asked):
        found = stage.portraits(i, told)
        if found is None:
            continue
        portraits = [one.portrait for one in found]
        images = stage.kept.read([_file(i, name) for name in names])
        judged = zip(names, images, stage.look(images), strict=True)
        seen = {name: seen_in(scene, image, told, portraits) for name, image, scene in judged}
        seconds = {name: stage.kept.seconds(_file(i, name)) for name in names}
        outcomes.append(StoryOutcome(told, MappingProxyType(seen), MappingProxyType(seconds)))
        shown.append(([one.image for one in portraits], images))
    report = StoryReport(
        model=model,
        methods=names,
        masks=masks,
        outcomes=tuple(outcomes),
        skipped=len(asked) - len(outcomes),
        steps=steps,
        guidance=guidance,
        seed=seed,
        tuning=tuning,
        seconds=round(sum(sum(outcome.seconds.values()) for outcome in outcomes), 1),
        judge=MappingProxyType(dict(judge_accuracy() if judge is None else {})),
    )
    if folder is not None:
        _save(folder, report, shown)
    return report


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A portrait as the judge sees it, its seed, and where its subject is, [h, w] bool."""

    portrait: Portrait
    seed: int
    seat: Tensor


@dataclass(frozen=True, eq=False)
class _Stage:
    """Draws what is not there yet, and finds it again."""

    pipe: Any
    kept: Kept
    look: Judge
    masks: Masks
    guidance: float
    call: Mapping[str, Any]
    watch: Watch

    def portraits(self, i: int, told: Told) -> tuple[_Drawn, ...] | None:
        """Of story i; None when one of them could not be drawn."""
        found = []
        for number in range(len(told.nouns)):
            one = self._portrait(i, told, number)
            if one is None:
                return None
            found.append(one)
        return tuple(found)

    def draw(self, i: int, told: Told, names: Sequence[str]) -> None:
        """The scene by all methods, stock attention first, which says where everybody is."""
        found, memories = self.portraits(i, told), Memories()
        if found is None:
            self.watch.done += self.watch.steps * len(names)
            return
        seeds = [one.seed for one in found]
        stock, texts = self._story(told, "base", self.watch, seeds, memories), {"base": told.scene}
        if "words" in names:
            portraits = dict(zip(told.nouns, told.portraits, strict=True))
            texts["words"] = completed(told.scene, portraits)
        places = {
            name: self._looked(
                stock, _file(i, name), text, told.scene_seed, told.nouns, self.watch
            )[1]
            for name, text in texts.items()
        }
        for name in names:
            seen = places["words" if STORY_WAYS[name].complete else "base"]

            def make(name: str = name, seen: Mapping[str, Tensor] = seen) -> list[Image.Image]:
                story = self._story(told, name, self.watch, seeds, memories)
                for noun, one in zip(told.nouns, found, strict=True):
                    story.keep(noun, one.portrait.image, one.seat)
                return [story.scene(told.scene, seed=told.scene_seed, places=seen).image]

            if name not in places:
                if not self.kept.there(_file(i, name)):
                    self._story(told, name, self._unseen(), seeds, memories).remember()
                self.kept.draw([_file(i, name)], make, self.watch)

    def _portrait(self, i: int, told: Told, number: int) -> _Drawn | None:
        noun, colour, prompt = (of[number] for of in (told.nouns, told.colours, told.portraits))
        unseen, memories = self._unseen(), Memories()
        for seed in range(told.portrait_seed, told.portrait_seed + _TRIES):
            story = self._story(told, "base", unseen, [seed] * len(told.nouns), memories)
            name = f"{_file(i, 'portrait')}-{number + 1}-{seed - told.portrait_seed + 1}"
            image, places = self._looked(story, name, prompt, seed, [noun], unseen)
            portrait = portrait_in(self.look([image])[0], image, noun, colour)
            if portrait is not None and bool(places[noun].any()):
                return _Drawn(portrait, seed, places[noun])
        return None

    def _looked(
        self, story: Story, name: str, prompt: str, seed: int, words: Sequence[str], watch: Watch
    ) -> tuple[Image.Image, dict[str, Tensor]]:
        """A picture with stock attention and the words' places, kept as pictures beside it."""
        names = [name, *(f"{name}-place-{number + 1}" for number in range(len(words)))]

        def make() -> list[Image.Image]:
            image, places = story.look(prompt, seed, words)
            return [image, *(Image.fromarray(places[word].numpy()) for word in words)]

        self.kept.draw(names, make, watch)
        image, *places = self.kept.read(names)
        return image, {
            word: torch.from_numpy(np.asarray(place.convert("L")) > 0)
            for word, place in zip(words, places, strict=True)
        }

    def _unseen(self) -> Watch:
        """Of portraits: nobody knows how many there will be."""
        return Watch(self.watch.steps, self.watch.steps)

    def _story(
        self, told: Told, method: str, watch: Watch, seeds: Sequence[int], memories: Memories
    ) -> Story:
        cast, way = zip(told.nouns, told.portraits, seeds, strict=True), STORY_WAYS[method]
        return Story(
            self.pipe,
            tuple(Cast(noun, prompt, seed) for noun, prompt, seed in cast),
            by_judge(self.look) if self.masks == "judge" else None,
            way.method,
            guidance=self.guidance,
            complete=way.complete,
            call={**self.call, "callback_on_step_end": watch},
            memories=memories,
        )


def _file(i: int, method: str) -> str:
    return f"{i + 1:04d}-{method.replace(' + ', '-and-').replace(' ', '-')}"


def _save(
    folder: Path,
    report: StoryReport,
    shown: Sequence[tuple[Sequence[Image.Image], Sequence[Image.Image]]],
) -> None:
    """Beside the pictures `verdicts.jsonl`, a sheet, `figures.csv`, `report.md`, `report.json`."""
    save_report(folder, report, [outcome.facts() for outcome in report.outcomes])
    (folder / "figures.csv").write_text(report.to_csv(), encoding="utf-8")
    pairs = list(zip(report.outcomes, shown, strict=True))
    rows = [
        _cells(outcome, report.methods, *pictures)
        for group in GROUPS
        for outcome, pictures in [pair for pair in pairs if pair[0].asked.group == group][:_SHOWN]
    ]
    if rows:
        cell_sheet(rows).save(folder / "sheet.png")


def _cells(
    outcome: StoryOutcome,
    methods: Sequence[str],
    portraits: Sequence[Image.Image],
    scenes: Sequence[Image.Image],
) -> list[Cell | None]:
    told = outcome.asked
    cells: list[Cell | None] = [
        Cell(image, prompt) for image, prompt in zip(portraits, told.portraits, strict=True)
    ]
    cells += [None] * (3 - len(cells))
    for name, image in zip(methods, scenes, strict=True):
        seen = outcome.seen[name]
        ways = [way for way in ("doubled", "inside", "swapped") if getattr(seen, way)]
        note = f"{name}: {seen.found} of {seen.subjects} there, {seen.things} things"
        alike = f", likeness {seen.likeness / seen.found:.2f}" if seen.found else ""
        cells.append(
            Cell(image, told.scene, [f"{note}, {seen.coloured} in their colour{alike}", *ways])
        )
    return cells
