"""The suite `ground`: scenes with truth, the limit of a grid, and figures from a random model."""

from __future__ import annotations

import json
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attention_studio.emoji.expect import expect
from attention_studio.evaluate import evaluate_ground
from attention_studio.evaluate.ground import RULES, grid_limit
from attention_studio.evaluate.ground_report import GroundOutcome, GroundReport, Hit
from attention_studio.evaluate.ground_scenes import (
    GROUND_SEEDS,
    GROUND_TUNING_SEEDS,
    GROUPS,
    draw_scenes,
)
from attention_studio.evaluate.prompts import EVALUATION_SEEDS

NOUNS = ("cat", "dog", "car", "star")


def centre(mask: np.ndarray[Any, Any]) -> float:
    return float(np.flatnonzero(mask.any(0)).mean())


def test_scenes_have_one_answer() -> None:
    scenes = draw_scenes(GROUND_TUNING_SEEDS, NOUNS, 12, 64)
    again = draw_scenes(GROUND_TUNING_SEEDS, NOUNS, 12, 64)
    assert [s.group for s in scenes] == list(GROUPS) * 4
    for scene, same in zip(scenes, again, strict=True):
        assert np.array_equal(scene.image, same.image)
        assert scene.expression == same.expression
        assert scene.image.shape == (64, 64, 3)
        assert 0.01 < scene.truth.mean() < 0.5
        if scene.group == "colour and noun":
            ((noun, colour),) = expect(scene.expression).things
            assert noun in NOUNS
            assert colour is not None


def test_left_is_left() -> None:
    """Averaged over scenes, things asked for on the left lie left of those on the right."""
    scenes = [s for s in draw_scenes(5, NOUNS, 60, 64) if s.group == "left or right"]
    places = {
        side: [centre(s.truth) for s in scenes if s.expression.endswith(side)]
        for side in ("left", "right")
    }
    assert min(len(found) for found in places.values()) > 3
    assert max(places["left"]) < 40
    assert min(places["right"]) > 24
    assert np.mean(places["left"]) + 10 < np.mean(places["right"])


def test_ranges_do_not_meet() -> None:
    assert GROUND_SEEDS + 500_000 <= GROUND_TUNING_SEEDS
    assert GROUND_SEEDS >= EVALUATION_SEEDS + 2_000_000


@pytest.mark.parametrize("count", [0, -1])
def test_bad_counts(count: int) -> None:
    with pytest.raises(ValueError, match="scenes: "):
        draw_scenes(1, NOUNS, count, 64)
    with pytest.raises(ValueError, match="nouns: came"):
        draw_scenes(1, NOUNS[:1], 1, 64)


def test_the_limit_of_a_grid_is_that_of_the_best_union_of_cells() -> None:
    truth = np.zeros((6, 6), bool)
    truth[1:4, 1:5] = True
    assert grid_limit(truth, (6, 6)) == 1.0
    cells = [truth[r : r + 2, c : c + 2] for r in (0, 2, 4) for c in (0, 2, 4)]
    every = chain.from_iterable(combinations(range(9), n) for n in range(1, 10))
    best = 0.0
    for chosen in every:
        inside = sum(int(cells[i].sum()) for i in chosen)
        best = max(best, inside / (truth.sum() + 4 * len(chosen) - inside))
    assert grid_limit(truth, (3, 3)) == pytest.approx(best)
    assert grid_limit(truth, (1, 1)) == pytest.approx(12 / 36)


def test_figures_of_known_hits() -> None:
    def outcome(group: str, plain: float, magnets: float) -> GroundOutcome:
        hits = {"plain": Hit(plain, plain > 0.5, 1.0), "magnets": Hit(magnets, True, 3.0)}
        return GroundOutcome(group, "the cat", 0.9, hits)

    outcomes = (outcome("noun", 0.2, 0.4), outcome("left or right", 0.6, 0.8))
    report = GroundReport("m", ("plain", "magnets"), outcomes, 0.3, 0, True, 1.0)
    plain, magnets, *rest = report.figures()
    assert (plain.group, plain.iou.value, plain.gain.value) == ("all", pytest.approx(0.4), 0.0)
    assert magnets.iou.value == pytest.approx(0.6)
    assert magnets.gain.value == pytest.approx(0.2)
    assert (plain.pointed.right, magnets.pointed.right, magnets.seconds) == (1, 2, 3.0)
    assert [f.group for f in rest] == ["noun", "noun", "left or right", "left or right"]
    assert "noise 0.3, seed 0 of the tuning range" in report.table()
    assert json.loads(report.to_json())["figures"][1]["gain"]["value"] == 0.2


def test_a_random_model_runs_through_every_rung(emoji_pipe: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = evaluate_ground(
        emoji_pipe,
        nouns=NOUNS,
        size=64,
        scenes=4,
        batch=3,
        tuning=True,
        folder=tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (4 * len(RULES), 4 * len(RULES))
    assert report.rules == tuple(RULES)
    for outcome in report.outcomes:
        for hit in outcome.hits.values():
            assert 0 <= hit.iou <= 1
        assert 0.3 < outcome.limit <= 1
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"verdicts.jsonl", "sheet.png", "report.md", "report.json"}
    lines = (tmp_path / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["group"] for line in lines] == [*GROUPS, GROUPS[0]]
