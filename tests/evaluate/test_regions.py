"""evaluate regions: a run on a tiny random pipeline, whose judge says what the test wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from attention_studio.emoji import Scene
from attention_studio.emoji.expect import expect
from attention_studio.emoji.render import mask_box
from attention_studio.emoji.sample import HELD_OUT_COLOURS, HELD_OUT_PAIRS
from attention_studio.emoji.words import NOUNS
from attention_studio.evaluate import (
    REGION_METHODS,
    RegionReport,
    RegionSettings,
    evaluate_regions,
)
from attention_studio.evaluate.regions import Places, _place
from attention_studio.evaluate.regions_methods import MOVED, painted, recipe_of
from attention_studio.evaluate.regions_prompts import (
    GROUPS,
    REGION_SEEDS,
    REGION_TUNING_SEEDS,
    Placed,
    draw_placed,
)
from attention_studio.evaluate.regions_report import BASE_AT_WORDS
from attention_studio.evaluate.regions_score import Verdict, rasterised, seen_in
from attention_studio.evaluate.story_prompts import STORY_TUNING_SEEDS
from attention_studio.processors import RegionPrompts
from attention_studio.processors.attach import attach
from attention_studio.processors.call import Step
from attention_studio.processors.controls.region_prompts import _Places
from attention_studio.processors.recorder import Maps

SIZE = (64, 64)
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
ASKED = Placed(
    group="left and right",
    prompt="a red cat and a dog on grass",
    nouns=("cat", "dog"),
    colours=("red", None),
    boxes=(LEFT, RIGHT),
    texts=("a red cat on grass", "a dog on grass"),
    latent_seed=7,
)
HOW = {"size": SIZE, "steps": 2, "guidance": 5.0}


def scene(things: Sequence[tuple[str, str | None, tuple[int, int]]]) -> Scene:
    """Things of 16 rows; each from its first column to its last."""
    masks = np.zeros((len(things), *SIZE), bool)
    for mask, (_, _, (start, end)) in zip(masks, things, strict=True):
        mask[24:40, start:end] = True
    nouns, colours = (tuple(thing[i] for thing in things) for i in (0, 1))
    boxes = tuple(mask_box(mask) for mask in masks)
    return Scene(nouns, colours, boxes, masks, "grass", None)  # type: ignore[arg-type]


def verdicts(*things: tuple[str, str | None, tuple[int, int]]) -> tuple[Verdict, ...]:
    return seen_in(scene(things), ASKED, rasterised(ASKED.boxes, SIZE)).regions


def test_inside_is_more_than_half_of_the_mask() -> None:
    found = verdicts(("cat", "red", (10, 30)), ("dog", None, (22, 52)))  # dog: 20 of 30 right
    assert found[0] == Verdict(True, inside=True, within=True, alone=True, worn=True)
    assert found[1] == Verdict(True, inside=True, within=False, alone=True, worn=None)
    assert found[0].right and found[1].right
    half = verdicts(("cat", "red", (22, 42)))  # half of it: in neither
    assert half[0] == Verdict(True, inside=False, within=False, alone=True, worn=None)
    assert half[1] == Verdict(False, inside=False, within=False, alone=True, worn=None)
    assert verdicts(("cat", "red", (14, 34)))[0].within  # 18 of 20


def test_a_stranger_is_another_region_s_noun() -> None:
    swapped = verdicts(("cat", "red", (40, 60)), ("dog", None, (4, 24)))
    assert [v.found for v in swapped] == [True, True]
    assert not any(v.inside or v.alone for v in swapped)
    both = verdicts(("cat", "blue", (4, 14)), ("dog", None, (16, 28)), ("frog", None, (40, 60)))
    assert both[0] == Verdict(True, inside=True, within=True, alone=False, worn=False)
    assert not both[0].right and both[1].alone  # a frog is nobody's
    twice = verdicts(("cat", "blue", (4, 14)), ("cat", "red", (16, 28)))
    assert twice[0].worn and twice[0].right


class Scripted:
    """The base has all things in the wrong places; the control has them in theirs."""

    def __init__(self, prompts: int) -> None:
        self.asked = list(draw_placed(REGION_SEEDS, NOUNS, prompts))
        self.pictures: list[Image.Image] = []

    def __call__(self, images: Sequence[Image.Image]) -> list[Scene]:
        asked, count = self.asked.pop(0), len(images) - 1
        self.pictures += images
        boxes = rasterised(asked.boxes, SIZE)
        return [_filled(asked, np.roll(boxes, 1, 0)), *[_filled(asked, boxes)] * count]


def _filled(asked: Placed, masks: Places) -> Scene:
    boxes = tuple(mask_box(mask) for mask in masks)
    return Scene(asked.nouns, asked.colours, boxes, masks, "grass", None)


def test_a_run(emoji_pipe: StableDiffusionPipeline, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def run(judge: Scripted) -> RegionReport:
        return evaluate_regions(
            emoji_pipe,
            nouns=NOUNS,
            size=SIZE,
            prompts=3,
            settings=RegionSettings(looks=0.5),
            steps=2,
            folder=tmp_path,
            judge=judge,
            progress=lambda *at: told.append(at),
        )

    judge = Scripted(3)
    report = run(judge)
    assert told[-1] == (3 * 2 * len(REGION_METHODS),) * 2
    assert report.methods == ("base", "boxes", MOVED, "painted", BASE_AT_WORDS, "words")
    found = {(row.group, row.method): row for row in report.figures()}
    base, boxes = found["all", "base"], found["all", "boxes"]
    shares = {name: share.value for name, share in base.shares.items()}
    assert shares == {
        "found": 1.0,
        "inside": 0.0,
        "within": 0.0,
        "alone": 0.0,
        "worn": None,
        "right": 0.0,
    }
    assert {share.value for share in boxes.shares.values()} == {1.0}
    assert boxes.changes["right"].value is None and base.times == 1.0  # nothing to compare with
    at_words = found["all", BASE_AT_WORDS]
    assert at_words.seconds == base.seconds and at_words.shares["found"].value == 1.0
    for i in range(3):
        pixels = [image.tobytes() for image in judge.pictures[i * 5 : (i + 1) * 5]]
        assert len(set(pixels)) == 5
    lines = (tmp_path / "verdicts.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["group"] for line in lines] == list(GROUPS[:3])
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["suite"] == "regions"
    assert (tmp_path / "sheet.png").is_file() and f"| {BASE_AT_WORDS} |" in report.table()
    again = run(Scripted(3))  # what is there is judged, not drawn
    assert again.to_json() == report.to_json()


def test_words_have_the_places_that_the_control_finds(emoji_pipe: StableDiffusionPipeline) -> None:
    """A random model's maps are flat, so the control is shown another one."""
    control = RegionPrompts((("cat", "a red cat on grass"),), looks=0.5)
    heat = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) ** 2
    with attach(emoji_pipe, [control]) as run:
        emoji_pipe(ASKED.prompt, num_inference_steps=1, height=64, width=64)
        (bound,) = run._bound
        assert isinstance(bound, RegionPrompts)
        again = replace(bound, places=_Places())
        again.observe(Maps({((16, 16), 0, "cat", 0): heat}), Step(0, 0, 1, 0.0))
    assert again.places is not None
    place = np.asarray(_place(heat.numpy(), (16, 16)))
    assert np.array_equal(place, again.places._words["cat", 0, 0].numpy() > 0)
    assert 0 < place.mean() < 1


def test_prompts() -> None:
    asked = draw_placed(REGION_SEEDS, NOUNS, 40)
    assert asked == draw_placed(REGION_SEEDS, NOUNS, 40)
    assert [one.group for one in asked] == list(GROUPS) * 8
    for one in asked:
        things = tuple(zip(one.nouns, one.colours, strict=True))
        assert expect(one.prompt).things == things and not expect(one.prompt).unknown
        assert tuple(expect(text).things[0] for text in one.texts) == things
        assert all(HELD_OUT_COLOURS.get(noun) != colour for noun, colour in things if colour)
        assert not any(pair <= set(one.nouns) for pair in HELD_OUT_PAIRS)
        held = rasterised(one.boxes, (128, 128)).sum(0)
        assert held.max() == 1  # no two overlap
        assert one.group.endswith("boxes") or held.min() == 1  # halves and thirds fill the picture
        assert min(min(b[2] - b[0], b[3] - b[1]) for b in one.boxes) > 0.33
    assert {one.boxes[0] for one in asked[::5]} == {LEFT, RIGHT}
    tuning = {one.latent_seed for one in draw_placed(REGION_TUNING_SEEDS, NOUNS, 40)}
    assert not tuning & {one.latent_seed for one in asked}
    assert REGION_SEEDS >= STORY_TUNING_SEEDS + 500_000
    assert REGION_TUNING_SEEDS >= REGION_SEEDS + 500_000
    with pytest.raises(ValueError, match="nouns: came"):
        draw_placed(0, ("cat", "dog"), 1)
    with pytest.raises(ValueError, match="prompts: 0 came"):
        draw_placed(0, NOUNS, 0)


def test_recipes() -> None:
    settings = RegionSettings(base=0.1, during=(0.0, 0.5))
    made = {name: recipe_of(name, ASKED, settings, **HOW) for name in REGION_METHODS}  # type: ignore[arg-type]
    assert made["base"].controls == () and made["base"].seed == 7
    (boxes,) = made["boxes"].controls
    assert (boxes.base, boxes.during) == (0.1, (0.0, 0.5))  # type: ignore[union-attr]
    assert [r.where for r in boxes.regions] == [LEFT, RIGHT]  # type: ignore[union-attr]
    assert [r.prompt for r in boxes.regions] == list(ASKED.texts)  # type: ignore[union-attr]
    beside, moved = made[MOVED].controls
    assert beside == boxes and moved.boxes == {"cat": LEFT, "dog": RIGHT}  # type: ignore[union-attr]
    assert (moved.step_size, moved.relative) == (0.05, True)  # type: ignore[union-attr]
    words, looked = made["words"].controls
    assert [r.where for r in words.regions] == ["cat", "dog"]  # type: ignore[union-attr]
    assert looked.words == ("cat", "dog") and looked.during == (0.0, 0.2)  # type: ignore[union-attr]
    rows = painted(LEFT, (64, 128))
    assert len(rows) == 32 and {len(row) for row in rows} == {64}
    ellipse = np.array([[cell == "1" for cell in row] for row in rows])
    assert not ellipse[:, 32:].any() and ellipse[:, :32].mean() == pytest.approx(
        np.pi / 4, abs=0.01
    )


def test_what_makes_no_sense_is_said(emoji_pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="methods: came 'magic'; expected some of base, boxes"):
        evaluate_regions(emoji_pipe, nouns=NOUNS, size=SIZE, methods=("magic",))
    with pytest.raises(ValueError, match="settings: words have a place after"):
        evaluate_regions(
            emoji_pipe, nouns=NOUNS, size=SIZE, settings=RegionSettings(during=(0.0, 0.1))
        )
