"""evaluate story: a run on a tiny random pipeline, whose judge says what the test wants."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from attention_studio.emoji import Scene
from attention_studio.emoji.words import CORE_NOUNS, HELD_OUT_COLOURS
from attention_studio.evaluate import StoryReport, evaluate_story
from attention_studio.evaluate.compose_prompts import COMPOSE_TUNING_SEEDS
from attention_studio.evaluate.ground_scenes import GROUND_TUNING_SEEDS
from attention_studio.evaluate.story_prompts import (
    GROUPS,
    STORY_SEEDS,
    STORY_TUNING_SEEDS,
    Told,
    draw_stories,
)
from attention_studio.evaluate.story_score import Portrait, likeness, portrait_in, seen_in
from attention_studio.evaluate.story_ways import STORY_WAYS
from attention_studio.pipelines import STORY_METHODS

SIZE = (64, 64)
HERE = {name: (0.3 * i, 0.1, 0.3 * i + 0.25, 0.6) for i, name in enumerate("abc")}


def scene(
    things: Sequence[tuple[str, str | None]],
    boxes: Sequence[tuple[float, float, float, float]] | None = None,
) -> Scene:
    """Things side by side, or in boxes."""
    given = list(boxes or HERE.values())[: len(things)]
    masks = np.zeros((len(things), *SIZE), bool)
    for mask, (left, top, right, bottom) in zip(masks, given, strict=True):
        mask[int(64 * top) : int(64 * bottom), int(64 * left) : int(64 * right)] = True
    nouns, colours = ([thing[i] for thing in things] for i in (0, 1))
    return Scene(tuple(nouns), tuple(colours), tuple(given), masks, "grass", None)


class Scripted:
    """Answers for each new picture with the next of its scenes, and for known ones as before."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.left, self.known = list(scenes), dict[bytes, Scene]()

    def __call__(self, images: Sequence[Image.Image]) -> list[Scene]:
        return [self._of(image.tobytes()) for image in images]

    def _of(self, pixels: bytes) -> Scene:
        if pixels not in self.known:
            self.known[pixels] = self.left.pop(0)
        return self.known[pixels]


METHODS = ("isolate", "ir-diffusion", "consistory")


def script(told: Told) -> list[Scene]:
    """Of one story: portraits, of which the first is wrong at first; the base with a thing more;
    then by each method: all is well, colours change places, one is drawn twice."""
    things = list(zip(told.nouns, told.colours, strict=True))
    swapped = [(noun, told.colours[i - 1]) for i, noun in enumerate(told.nouns)]
    return [
        scene([]),
        *(scene([thing]) for thing in things),
        scene([*things, ("moon", None)]),
        *[scene(things), scene(swapped), scene([*things[:-1], things[0]])],
    ]


@pytest.fixture(scope="module")
def ran(
    emoji_pipe: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StoryReport, Path, list[tuple[int, int]]]:
    folder, seen = tmp_path_factory.mktemp("story"), list[tuple[int, int]]()
    told = draw_stories(STORY_SEEDS, CORE_NOUNS, 1)
    report = evaluate_story(
        emoji_pipe,
        nouns=CORE_NOUNS,
        size=SIZE,
        prompts=1,
        methods=METHODS,
        steps=2,
        folder=folder,
        judge=Scripted(script(told[0])),
        progress=lambda *at: seen.append(at),
    )
    return report, folder, seen


def test_what_the_judge_says_is_counted(
    ran: tuple[StoryReport, Path, list[tuple[int, int]]],
) -> None:
    report, _, seen = ran
    assert report.methods == ("base", "consistory", "isolate", "ir-diffusion")
    assert seen[-1] == (2 * 4,) * 2 and report.skipped == 0
    found = {row.method: row for row in report.figures() if row.group == "all"}
    shares = {
        name: [row.shares[s].value for s in ("number", "fused", "found", "colour")]
        for name, row in found.items()
    }
    assert shares == {
        "base": [0.0, None, 1.0, 1.0],
        "consistory": [1.0, 0.0, 1.0, 1.0],
        "isolate": [1.0, 1.0, 1.0, 0.0],
        "ir-diffusion": [1.0, 1.0, 0.5, 1.0],
    }
    assert found["base"].times == 1.0 and found["isolate"].changes["colour"].value == -1.0


def test_everything_is_kept_and_a_second_run_draws_nothing(
    ran: tuple[StoryReport, Path, list[tuple[int, int]]], emoji_pipe: StableDiffusionPipeline
) -> None:
    report, folder, _ = ran
    facts = json.loads((folder / "report.json").read_text("utf-8"))
    assert facts["suite"] == "story" and facts["masks"] == "judge" and len(facts["figures"]) == 8
    rows = list(csv.DictReader((folder / "figures.csv").open(encoding="utf-8")))
    assert {row["method"] for row in rows} == set(report.methods) and len(rows) == 8 * 10
    assert "| ir-diffusion |" in report.table() and "places by the judge" in report.table()
    assert (folder / "sheet.png").is_file()
    names = {file.stem for file in (folder / "pictures").iterdir()}
    assert {"0001-portrait-1-1", "0001-portrait-1-2-place-1", "0001-base-place-2"} <= names
    again = {**emoji_pipe.components, "unet": emoji_pipe.unet}

    class Still:
        components = again

    told = draw_stories(STORY_SEEDS, CORE_NOUNS, 1)
    judge = Scripted(script(told[0]))
    same = evaluate_story(
        Still(), nouns=CORE_NOUNS, size=SIZE, prompts=1, methods=METHODS, steps=2, folder=folder,
        judge=judge,
    )  # fmt: skip
    assert [r.facts() for r in same.figures()] == [r.facts() for r in report.figures()]
    with pytest.raises(ValueError, match="holds pictures with masks 'judge', this run has 'words'"):
        evaluate_story(
            emoji_pipe, nouns=CORE_NOUNS, size=SIZE, prompts=1, steps=2, folder=folder,
            judge=judge, masks="words",
        )  # fmt: skip


def test_words_can_say_where_subjects_are(emoji_pipe: StableDiffusionPipeline) -> None:
    told = draw_stories(STORY_TUNING_SEEDS, CORE_NOUNS, 1)[0]
    things = list(zip(told.nouns, told.colours, strict=True))
    judge = Scripted([*(scene([thing]) for thing in things), scene(things), scene(things)])
    report = evaluate_story(
        emoji_pipe, nouns=CORE_NOUNS, size=SIZE, prompts=1, methods=("ir-diffusion",), steps=2,
        judge=judge, masks="words", tuning=True,
    )  # fmt: skip
    assert not judge.left and "places by word maps" in report.table()


def test_a_story_without_a_portrait_is_left_out(emoji_pipe: StableDiffusionPipeline) -> None:
    report = evaluate_story(
        emoji_pipe, nouns=CORE_NOUNS, size=SIZE, prompts=1, methods=(), steps=1,
        judge=Scripted([scene([])] * 8),
    )  # fmt: skip
    assert report.skipped == 1 and list(report.figures()) == []
    assert "0 stories" in report.table() and "1 left out" in report.table()


def test_stories() -> None:
    told = draw_stories(STORY_SEEDS, CORE_NOUNS, 40)
    assert told == draw_stories(STORY_SEEDS, CORE_NOUNS, 40)
    assert [one.group for one in told[:4]] == list(GROUPS)
    for one in told:
        assert len(set(one.colours)) == len(one.nouns) == (2 if "two" in one.group else 3)
        assert all(noun in one.scene for noun in one.nouns)
        assert all(c in p for c, p in zip(one.colours, one.portraits, strict=True))
        assert all(HELD_OUT_COLOURS[n] != c for n, c in zip(one.nouns, one.colours, strict=True))
        said = [colour in one.scene for colour in one.colours]
        assert all(said) if "described" in one.group else not any(said)
    seeds = sorted((COMPOSE_TUNING_SEEDS, GROUND_TUNING_SEEDS, STORY_SEEDS, STORY_TUNING_SEEDS))
    assert min(np.diff(seeds)) >= 500_000
    with pytest.raises(ValueError, match="expected at least 3 to tell of three"):
        draw_stories(0, ("cat", "dog"), 1)


TOLD = Told("two, named", ("cat", "dog"), ("red", "blue"), ("", ""), "", 0, 0)
PAIR = [("cat", "red"), ("dog", "blue")]
CLOSE = ((0.1, 0.1, 0.5, 0.5), (0.2, 0.2, 0.5, 0.5))


@pytest.mark.parametrize(
    ("seen", "number", "fused"),
    [
        (scene(PAIR), True, False),
        (scene(PAIR[:1]), False, False),
        (scene([PAIR[0], ("dog", "red")]), True, True),  # in the other's colour
        (scene([PAIR[0], ("dog", "green")]), True, False),  # in nobody's
        (scene([PAIR[0], ("cat", "blue")]), True, True),  # twice, for the other
        (scene([PAIR[0], ("bear", "blue")]), True, False),  # another thing altogether
        (scene(PAIR, CLOSE), True, True),
    ],
)
def test_who_melted(seen: Scene, number: bool, fused: bool) -> None:
    image = Image.new("RGB", SIZE)
    portraits = [Portrait(image, scene([thing]).masks[0]) for thing in PAIR]
    verdict = seen_in(seen, image, TOLD, portraits)
    assert (verdict.number, verdict.fused) == (number, fused)


def test_likeness_knows_no_size() -> None:
    rng = np.random.default_rng(0)
    tile = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    small, large = Image.new("RGB", SIZE), Image.new("RGB", SIZE)
    small.paste(tile, (3, 5))
    large.paste(tile.resize((32, 32), Image.Resampling.NEAREST), (20, 10))
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 5:13, 3:11], masks[1, 10:42, 20:52] = True, True
    same = likeness(large, masks[1], large, masks[1])
    scaled = likeness(small, masks[0], large, masks[1])
    other = likeness(small, masks[0], Image.new("RGB", SIZE), masks[1])
    assert same == 1.0 and 0.85 < scaled < 1 and other < 0.6
    half = masks[1].copy()
    half[10:26, 36:] = False  # a quarter is missing
    assert likeness(large, masks[1], large, half) == pytest.approx(0.75)


def test_a_portrait_shows_one_thing() -> None:
    image = Image.new("RGB", SIZE)
    assert portrait_in(scene([PAIR[0]]), image, "cat", "red") is not None
    for wrong in ([], PAIR, [("cat", "blue")], [("dog", "red")]):
        assert portrait_in(scene(wrong), image, "cat", "red") is None


def test_what_it_does_not_know_is_refused(emoji_pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="methods: came 'magic'; expected some of base"):
        evaluate_story(emoji_pipe, nouns=CORE_NOUNS, size=SIZE, methods=("magic",))
    with pytest.raises(ValueError, match="masks: came 'eyes'; expected 'judge' or 'words'"):
        evaluate_story(emoji_pipe, nouns=CORE_NOUNS, size=SIZE, masks="eyes")  # type: ignore[arg-type]
    assert set(METHODS) <= set(STORY_METHODS) < set(STORY_WAYS)


def test_words_of_portraits_are_drawn_by_stock_attention_and_found_in_anew(
    emoji_pipe: StableDiffusionPipeline, tmp_path: Path
) -> None:
    way, told = "words + reposition late", draw_stories(STORY_SEEDS, CORE_NOUNS, 2)[1]
    assert told.group == "two, named"
    things = list(zip(told.nouns, told.colours, strict=True))
    shots: list[list[tuple[str, str | None]]] = [*([thing] for thing in things), [], things, things]
    both = draw_stories(STORY_SEEDS, CORE_NOUNS, 1)[0]
    first = list(zip(both.nouns, both.colours, strict=True))
    script = [*([thing] for thing in first), first, first, first, *shots]
    report = evaluate_story(
        emoji_pipe, nouns=CORE_NOUNS, size=SIZE, prompts=2, methods=(way,), steps=2,
        folder=tmp_path, judge=Scripted([scene(one) for one in script]),
    )  # fmt: skip
    assert report.methods == ("base", "words", way)
    seen = report.outcomes[1].seen
    assert [seen[name].found for name in report.methods] == [0, 2, 2]
    pictures = [
        Image.open(tmp_path / "pictures" / f"0002-{name}.png").tobytes()
        for name in ("base", "words")
    ]
    assert pictures[0] != pictures[1]
    pictures = [
        Image.open(tmp_path / "pictures" / f"0001-{name}.png").tobytes()
        for name in ("base", "words")
    ]
    assert pictures[0] == pictures[1]  # its scene says all
