"""evaluate compose: a run on a tiny random pipeline, whose judge says what the test wants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from attention_studio.emoji import Scene
from attention_studio.emoji.words import CORE_NOUNS, HELD_OUT_PAIRS
from attention_studio.evaluate import METHODS, ComposeReport, ComposeSettings, evaluate_compose
from attention_studio.evaluate.compose_methods import recipe_of
from attention_studio.evaluate.compose_prompts import (
    COMPOSE_SEEDS,
    COMPOSE_TUNING_SEEDS,
    Composed,
    draw_composed,
)
from attention_studio.evaluate.prompts import EDIT_SEEDS
from attention_studio.evaluate.ratios import change_of, share_of
from attention_studio.pipelines.deprecated_excite import excite_by_diffusers, map_grid
from attention_studio.recipe import Recipe

SIZE = (64, 64)


def scene(things: Sequence[tuple[str, str | None]]) -> Scene:
    masks = np.ones((len(things), *SIZE), bool)
    nouns, colours = ([thing[i] for thing in things] for i in (0, 1))
    return Scene(
        tuple(nouns), tuple(colours), ((0.0, 0.0, 1.0, 1.0),) * len(things), masks, "grass", None
    )


class Scripted:
    """Sees nothing of the base, all things but in no colour by the first other method, then all."""

    def __init__(self, prompts: int) -> None:
        self.asked = list(draw_composed(COMPOSE_SEEDS, CORE_NOUNS, prompts))
        self.pictures: list[Image.Image] = []

    def __call__(self, images: Sequence[Image.Image]) -> list[Scene]:
        things = [(noun, colour) for noun, colour, _ in self.asked.pop(0).things]
        self.pictures += images
        grey = [(noun, None) for noun, _ in things]
        return [scene([]), scene(grey), *[scene(things)] * (len(images) - 2)]


@pytest.fixture(scope="module")
def ran(
    emoji_pipe: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ComposeReport, Path, Scripted, list[tuple[int, int]]]:
    folder = tmp_path_factory.mktemp("compose")
    judge, seen = Scripted(2), list[tuple[int, int]]()
    report = evaluate_compose(
        emoji_pipe,
        nouns=CORE_NOUNS,
        size=SIZE,
        prompts=2,
        settings=ComposeSettings(guided=1.0),  # retention begins with the second step
        steps=2,
        folder=folder,
        judge=judge,
        progress=lambda *at: seen.append(at),
    )
    return report, folder, judge, seen


def test_what_the_judge_says_is_counted(
    ran: tuple[ComposeReport, Path, Scripted, list[tuple[int, int]]],
) -> None:
    report, _, _, seen = ran
    assert seen[-1] == (2 * 2 * len(METHODS),) * 2
    found = {(row.group, row.method): row for row in report.figures()}
    assert len(found) == 3 * len(METHODS)
    assert found["all", "base"].shares["missing"].value == 1.0
    assert (
        found["all", "base"].shares["wrong"].value is None
    )  # nothing is found, so no colour is wrong
    assert found["all", "excite"].shares["missing"].value == 0.0
    assert found["all", "excite"].changes["missing"].value == -1.0
    assert found["all", "a-star"].shares["right"].value == 1.0
    assert found["all", "base"].times == 1.0


def test_every_method_draws_another_picture_but_structure_of_plain_things(
    ran: tuple[ComposeReport, Path, Scripted, list[tuple[int, int]]],
) -> None:
    report, _, judge, _ = ran
    for i, outcome in enumerate(report.outcomes):
        images = judge.pictures[i * len(METHODS) : (i + 1) * len(METHODS)]
        pixels = {name: image.tobytes() for name, image in zip(METHODS, images, strict=True)}
        assert pixels["excite"] != pixels["base"] and pixels["a-star"] != pixels["segregate"]
        assert (pixels["bind"] == pixels["base"]) is not bool(outcome.asked.attributes)


def test_everything_is_kept(
    ran: tuple[ComposeReport, Path, Scripted, list[tuple[int, int]]],
) -> None:
    report, folder, _, _ = ran
    facts = json.loads((folder / "report.json").read_text("utf-8"))
    assert facts["suite"] == "compose" and facts["methods"] == list(METHODS)
    assert len(facts["figures"]) == 3 * len(METHODS)
    lines = (folder / "verdicts.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2 and len(list((folder / "pictures").iterdir())) == 2 * len(METHODS)
    assert (folder / "sheet.png").is_file()
    assert "| a-star |" in report.table() and "**held-out pairs**" in report.table()
    assert "A-STAR's step size 0.05 of the latents, in the first 100%, its ratio" in report.table()


def test_prompts() -> None:
    asked = draw_composed(COMPOSE_SEEDS, CORE_NOUNS, 20)
    assert asked == draw_composed(COMPOSE_SEEDS, CORE_NOUNS, 20)
    assert all(frozenset(a.nouns) in HELD_OUT_PAIRS for a in asked[::2])
    assert all(len(set(a.nouns)) == 3 for a in asked[1::2])
    tuning = {a.prompt for a in draw_composed(COMPOSE_TUNING_SEEDS, CORE_NOUNS, 20)}
    assert len(tuning & {a.prompt for a in asked}) < 3
    assert abs(COMPOSE_SEEDS - EDIT_SEEDS) >= 500_000
    with pytest.raises(ValueError, match="with a pair that training never sees"):
        draw_composed(0, ("cat", "dog", "frog"), 1)


def test_recipes_name_the_things_and_their_attributes() -> None:
    asked = Composed(
        "three things", "a big red cat and a dog", (("cat", "red", "big"), ("dog", None, None)), 7
    )
    made = recipe_of("a-star + structure", asked, ComposeSettings(guided=0.5), steps=3)
    names = [spec.control for spec in made.controls]
    assert names == ["segregate", "retain", "structure_phrases"] and made.seed == 7
    assert made.controls[0].during == (0.0, 0.5)  # type: ignore[union-attr]
    plain = recipe_of("a-star", asked, ComposeSettings())
    things = [{"control": name, "concepts": asked.nouns} for name in names[:2]]
    assert plain == Recipe.model_validate({**plain.model_dump(), "controls": things})
    bind = recipe_of("bind", asked, ComposeSettings(step_size=0.1))
    assert bind.controls[0].pairs == {"cat": ("big", "red")}  # type: ignore[union-attr]
    assert bind.controls[0].step_size == 20  # type: ignore[union-attr]
    assert recipe_of("base", asked, ComposeSettings()).controls == ()


def test_shares_and_changes() -> None:
    half, quarter = [(1, 1), (0, 1)] * 50, [(1, 1), (0, 1), (0, 1), (0, 1)] * 25
    share, change = share_of(half), change_of(quarter, half)
    assert share.value == 0.5 and 0.4 <= share.low < 0.5 < share.high <= 0.6
    assert change.value == -0.5 and change.low < -0.5 < change.high < 0
    assert share_of([(0, 0)]).value is None
    assert change_of(half, [(0, 1)] * 100).value is None


def test_diffusers_pipeline_leaves_ours_as_it_was(emoji_pipe: StableDiffusionPipeline) -> None:
    grid = map_grid(emoji_pipe, SIZE)
    assert grid == (16, 16)
    before = {name: id(p) for name, p in emoji_pipe.unet.attn_processors.items()}
    call = {"grid": grid, "steps": 2, "height": 64, "width": 64, "output_type": "np"}
    found = [
        excite_by_diffusers(
            emoji_pipe,
            "a cat and a dog",
            ("cat", "dog"),
            generator=torch.Generator().manual_seed(0),
            scale=scale,
            **call,
        ).images
        for scale in (0.0, 20.0)
    ]
    assert not np.array_equal(*found)
    assert {name: id(p) for name, p in emoji_pipe.unet.attn_processors.items()} == before
    assert all(parameter.requires_grad for parameter in emoji_pipe.unet.parameters())
    with pytest.raises(ValueError, match="'fox' is not in the prompt"):
        excite_by_diffusers(emoji_pipe, "a cat", ("fox",), **call)


def test_an_unknown_method_is_refused(emoji_pipe: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="methods: came 'magic'; expected some of base"):
        evaluate_compose(emoji_pipe, nouns=CORE_NOUNS, size=SIZE, methods=("magic",))
