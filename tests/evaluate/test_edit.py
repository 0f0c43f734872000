"""evaluate edit: a run on a tiny random pipeline, whose judge says what the test wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from attention_studio.emoji import Scene, render
from attention_studio.emoji.judge import tint_strengths
from attention_studio.emoji.plan import Plan, Thing
from attention_studio.emoji.words import CORE_NOUNS
from attention_studio.evaluate import EditReport, Settings, evaluate_edit
from attention_studio.evaluate.edit_report import Outcome
from attention_studio.evaluate.edit_score import EditScore
from attention_studio.evaluate.edits import draw_edits, draw_weighed
from attention_studio.evaluate.prompts import EDIT_SEEDS, EDIT_TUNING_SEEDS
from attention_studio.evaluate.reweighting import WEIGHTS, Weighing

SIZE = (64, 64)


def scene(noun: str, colour: str | None) -> Scene:
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 16:48, 16:48] = True
    return Scene((noun,), (colour,), ((0.25, 0.25, 0.75, 0.75),), mask, "grass", None)


class Scripted:
    """Sees the source as asked, edits done, plain pictures not; a coloured thing when weighing."""

    def __init__(self, edits: int) -> None:
        self.scenes = [
            scene(*thing)
            for item in draw_edits(EDIT_SEEDS, CORE_NOUNS, edits)
            for thing in (item.before, item.after, item.before)
        ]
        self.scenes += [scene(w.noun, w.colour) for w in draw_weighed(EDIT_SEEDS, CORE_NOUNS, 9)]

    def __call__(self, images: Sequence[Image.Image]) -> list[Scene]:
        seen, self.scenes = self.scenes[: len(images)], self.scenes[len(images) :]
        return seen


def rising(images: Sequence[Image.Image], mask: NDArray[np.bool_], colour: str) -> list[float]:
    assert len(images) == len(WEIGHTS) and int(mask.sum()) == 32 * 32
    return [0.1 * i for i in range(len(images))]


@pytest.fixture(scope="module")
def ran(
    emoji_pipe: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory
) -> tuple[EditReport, Path, list[tuple[int, int]]]:
    folder = tmp_path_factory.mktemp("edit")
    seen: list[tuple[int, int]] = []
    report = evaluate_edit(
        emoji_pipe,
        nouns=CORE_NOUNS,
        size=SIZE,
        edits=3,
        weighed=1,
        steps=2,
        folder=folder,
        judge=Scripted(3),
        strengths=rising,
        progress=lambda *at: seen.append(at),
    )
    return report, folder, seen


def test_what_the_judge_says_is_counted(
    ran: tuple[EditReport, Path, list[tuple[int, int]]],
) -> None:
    report, _, seen = ran
    groups = {row.group: row for row in report.figures()}
    assert list(groups) == ["all", "source as asked", "swap", "refine", "colour", "one thing"]
    assert groups["all"].changed.right == 3 and groups["all"].changed_plain.right == 0
    assert groups["all"].changed_ratio.value == float("inf")
    assert groups["source as asked"].changed.asked == 3
    assert [groups[kind].changed.asked for kind in ("swap", "refine", "colour")] == [1, 1, 1]
    assert report.rho().value == pytest.approx(1.0)
    total = 2 * (2 * 3 + 1)  # steps: an edit and a plain picture, all weights in one call
    assert seen == [(i + 1, total) for i in range(total)]


def test_table_json_and_folder_tell_the_same(
    ran: tuple[EditReport, Path, list[tuple[int, int]]],
) -> None:
    report, folder, _ = ran
    facts = json.loads((folder / "report.json").read_text())
    assert facts == json.loads(report.to_json())
    assert (facts["suite"], facts["edits"], facts["range"]) == ("edit", 3, "evaluation")
    assert facts["figures"][0]["changed"]["right"] == 3
    assert facts["reweighting"]["rho"]["value"] == 1.0
    assert facts["settings"] == {"cross_replace": 0.8, "self_replace": 0.4, "threshold": 0.3}
    assert (folder / "report.md").read_text() == report.table()
    assert "| all | " in report.table() and "Weighed colours" in report.table()
    lines = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["swap", "refine", "colour"]
    assert all((folder / name).is_file() for line in lines for name in line["pictures"])
    assert (folder / "sheet.png").is_file() and (folder / "weights.png").is_file()


def test_source_and_plain_are_stock_pictures(
    emoji_pipe: StableDiffusionPipeline, ran: tuple[EditReport, Path, list[tuple[int, int]]]
) -> None:
    import torch

    report, folder, _ = ran
    edit = report.outcomes[0].edit
    stock = emoji_pipe(
        [edit.source, edit.target],
        num_inference_steps=2,
        guidance_scale=5.0,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(edit.latent_seed) for _ in range(2)],
        output_type="np",
    ).images
    for name, wanted in (("source", stock[0]), ("plain", stock[1])):
        found = np.asarray(Image.open(folder / "pictures" / f"0001-{name}.png"), float)
        assert np.abs(found - wanted * 255).max() <= 1.0


def test_the_recipe_is_what_the_settings_say() -> None:
    swap, refine, _ = draw_edits(EDIT_TUNING_SEEDS, CORE_NOUNS, 3)
    made = Settings(cross_replace=0.5, self_replace=0.2, threshold=0.45).recipe(swap)
    kinds = [spec.control for spec in made.controls]
    assert kinds == ["replace_words", "keep_layout", "local_blend"]
    assert made.prompts == (swap.source, swap.target) and made.seed == swap.latent_seed
    assert [spec.during[1] for spec in made.controls[:2]] == [0.5, 0.2]
    assert made.controls[2].threshold == 0.45
    for joint, edit, held, cut in (
        (False, swap, 0.8, 0.3),
        (False, refine, 0.8, 0.3),
        (True, swap, 0.4, 0.3),
        (True, refine, 0.0, 0.5),
    ):
        usual = Settings().on(joint=joint).recipe(edit).controls
        assert ([spec.during[1] for spec in usual[:2]], usual[2].threshold) == ([held, 0.4], cut)
    assert made.controls[2].words == ((swap.before[0],), (swap.after[0],))
    kinds = [spec.control for spec in Settings(threshold=1).recipe(refine).controls]
    assert kinds == ["refine_words", "keep_layout"]


def test_scenes_have_as_many_things_as_asked() -> None:
    asked = draw_edits(EDIT_SEEDS, CORE_NOUNS, 12, (1, 2, 2))
    assert [item.things for item in asked] == 3 * [1] + 6 * [2] + 3 * [1]
    for item in asked:
        assert sum(word in CORE_NOUNS for word in item.source.split()) == item.things
    with pytest.raises(ValueError, match=r"things: \[4\] came; expected some of 1, 2 and 3"):
        draw_edits(EDIT_SEEDS, CORE_NOUNS, 3, (4,))


def test_figures_by_hand() -> None:
    edits = draw_edits(EDIT_SEEDS, CORE_NOUNS, 6)
    good, far, bad = (
        EditScore(True, True, 40.0),
        EditScore(True, True, 20.0),
        EditScore(False, True, 50.0),
    )
    ours, plain = [good] * 4 + [far, bad], [far] * 4 + [good, bad]
    outcomes = tuple(
        Outcome(e, i > 0, a, b) for i, (e, a, b) in enumerate(zip(edits, ours, plain, strict=True))
    )
    weighings = (
        Weighing(draw_weighed(EDIT_SEEDS, CORE_NOUNS, 1)[0], (0.0,) * 5, None),
        Weighing(draw_weighed(EDIT_SEEDS, CORE_NOUNS, 1)[0], (0.0, 0.1, 0.2, 0.3, 0.3), 0.9),
    )
    report = EditReport("m", Settings(), outcomes, weighings, 30, 5.0, 0, False, 1.0, {})
    row = next(report.figures())
    assert (row.joint.right, row.joint_plain.right, row.joint_ratio.value) == (4, 1, 4.0)
    assert (row.changed.right, row.changed_plain.right, row.changed_ratio.value) == (5, 5, 1.0)
    assert (row.psnr, row.psnr_plain) == (40.0, 20.0)
    assert report.rho().value == 0.9 and "1 left out" in report.table()
    assert [r.joint.asked for r in report.figures()] == [6, 5, 2, 2, 2, 3, 3]


def test_the_judge_knows_how_strongly_a_colour_is_worn() -> None:
    things = [Thing("cat", colour, None, (0.25, 0.25, 0.75, 0.75)) for colour in (None, "blue")]
    pale, blue = (render(Plan((thing,), None, "grass", None, "", 3)) for thing in things)
    half = ((pale.image.astype(int) + blue.image) // 2).astype(np.uint8)
    found = tint_strengths([pale.image, half, blue.image], blue.scene.masks[0], "blue")
    assert found[0] < 0.1 and found[2] > 0.9 and found[0] <= found[1] <= found[2]
    with pytest.raises(ValueError, match="colour: 'beige' came; expected one of red"):
        tint_strengths([pale.image], blue.scene.masks[0], "beige")
    with pytest.raises(ValueError, match="mask: it is empty"):
        tint_strengths([pale.image], np.zeros((128, 128), bool), "blue")
