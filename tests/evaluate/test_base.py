"""evaluate base: perfect pictures are all right, empty ones all wrong, what was asked counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from attention_studio.emoji import Scene, render
from attention_studio.emoji.words import CORE_NOUNS
from attention_studio.evaluate import evaluate_base
from attention_studio.evaluate.base import BaseReport
from attention_studio.evaluate.judging import Judge, judge_accuracy
from attention_studio.evaluate.prompts import EVALUATION_SEEDS, draw_prompts


class Painter:
    """A pipeline that notes what it is asked and paints each picture in its seed's grey."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> SimpleNamespace:
        self.calls.append(arguments)
        for step in range(arguments["num_inference_steps"]):
            assert arguments["callback_on_step_end"](self, step, None, {}) == {}
        greys = [generator.initial_seed() % 256 for generator in arguments["generator"]]
        return SimpleNamespace(images=[Image.new("RGB", (64, 64), (g, g, g)) for g in greys])


class TruthTeller:
    """A judge that sees exactly what the prompts ask for, in their order."""

    def __init__(self, count: int) -> None:
        asked = draw_prompts(EVALUATION_SEEDS, CORE_NOUNS, count)
        self.scenes = iter([render(item.plan, 64).scene for item in asked])

    def __call__(self, images: Sequence[Image.Image]) -> list[Scene]:
        return [next(self.scenes) for _ in images]


def _evaluate(pipe: Any, judge: Any, **options: Any) -> BaseReport:
    return evaluate_base(pipe, nouns=CORE_NOUNS, steps=2, judge=judge, **options)


def test_what_is_asked_for_is_right() -> None:
    report = _evaluate(Painter(), TruthTeller(60), prompts=60)
    for figure in report.figures:  # relations hold for the boxes placed; those seen are tighter
        if "both things there" not in figure.question:
            assert figure.rate.right == figure.rate.asked, figure
    assert report.rate("one thing", "all nouns").asked == 20
    assert report.rate("all", "all nouns").asked == 60
    assert report.rate("all", "style").asked == 10
    assert sum(recall.rate.asked for recall in report.nouns) > 60


def test_an_empty_picture_is_wrong_everywhere(blind: Judge) -> None:
    report = _evaluate(Painter(), blind, prompts=24)
    assert {figure.rate.right for figure in report.figures} == {0}
    asked = {figure.question for figure in report.figures}
    assert "relation, both things there" not in asked  # it is asked given both things
    assert "colour, of the things there" not in asked


def test_the_splits_add_up() -> None:
    report = _evaluate(Painter(), TruthTeller(36), prompts=36)
    for figure in report.figures:
        if figure.split == "all":
            parts = [report.rate(figure.group, figure.question, s) for s in ("seen", "held out")]
            assert sum(part.asked for part in parts) == figure.rate.asked


def test_each_picture_has_its_own_latents_whatever_the_batch() -> None:
    def seeds(batch: int) -> list[int]:
        painter = Painter()
        _evaluate(painter, TruthTeller(12), prompts=12, batch=batch)
        return [g.initial_seed() for call in painter.calls for g in call["generator"]]

    assert seeds(5) == seeds(12)
    assert len(set(seeds(5))) == 12


def test_progress_counts_picture_steps() -> None:
    seen: list[tuple[int, int]] = []
    _evaluate(Painter(), TruthTeller(12), prompts=12, batch=5, progress=lambda *at: seen.append(at))
    assert seen == [(n, 24) for n in (5, 10, 15, 20, 22, 24)]


def test_table_json_and_folder_tell_the_same(tmp_path: Path) -> None:
    report = _evaluate(Painter(), TruthTeller(12), prompts=12, folder=tmp_path, model="painter")
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts == json.loads(report.to_json())
    assert (facts["suite"], facts["model"], facts["pictures"]) == ("base", "painter", 12)
    assert facts["judge"] == {}
    assert "| one thing | all nouns | 100.0 % (51–100, n = 4) |" in report.table()
    assert (tmp_path / "report.md").read_text() == report.table()
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert all((tmp_path / line["picture"]).is_file() for line in lines)
    assert len(list(tmp_path.glob("sheet-*.png"))) == 4


def test_a_real_pipeline_runs(emoji_pipe: StableDiffusionPipeline, blind: Judge) -> None:
    report = evaluate_base(
        emoji_pipe,
        nouns=CORE_NOUNS,
        prompts=12,
        steps=1,
        batch=12,
        judge=blind,
    )
    assert report.pictures == 12


def test_unknown_figures_are_an_error() -> None:
    report = _evaluate(Painter(), TruthTeller(12), prompts=12)
    with pytest.raises(ValueError, match="'four things' / 'all nouns'"):
        report.rate("four things", "all nouns")


def test_the_judge_s_own_figures_come_from_its_card(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    assert judge_accuracy(card) == {}
    card.write_text(json.dumps({"figures": {"scenes": 9, "rendered": {"noun_f1": 0.5}}}))
    assert judge_accuracy(card) == {"scenes": 9, "rendered, noun_f1": 0.5}
