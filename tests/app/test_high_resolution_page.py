"""The page High resolution: the recipes it means, what it says of costs, what cannot be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from attention_studio.app.resolution_draft import (
    TIMES,
    ResolutionDraft,
    beside,
    outlook,
    pairs_said,
)
from attention_studio.cli import app
from attention_studio.gallery import Gallery
from attention_studio.jobs import Journal, State
from attention_studio.models import describe
from attention_studio.recipe import Recipe

from .reading import text_of

FAMILIES = {
    "flux": ("FluxPipeline", {"num_attention_heads": 24, "attention_head_dim": 128}),
    "sd3": ("StableDiffusion3Pipeline", {"sample_size": 128}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that say what they are; nothing here loads them."""
    root = tmp_path_factory.mktemp("models")
    vae = {"block_out_channels": [128, 256, 512, 512], "sample_size": 1024}
    for name, (family, transformer) in FAMILIES.items():
        files = {"model_index": {"_class_name": family}}
        files |= {"vae/config": vae, "transformer/config": transformer}
        for file, facts in files.items():
            path = root / name / f"{file}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(facts))
    return root


def ended(out: Path, count: int) -> None:
    journal, end = Journal(out), time.monotonic() + 60
    while journal.counts()[State.done] + journal.counts()[State.failed] < count:
        assert time.monotonic() < end
        time.sleep(0.05)
    journal.close()


def asked(out: Path, at: AppTest) -> Recipe:
    """What the page's job is to draw."""
    job = Journal(out).find(at.session_state["resolution_job"])
    assert job is not None
    assert json.loads(job.options) == {"plain": False, "maps": False}
    return Recipe.model_validate_json(job.recipe)


def test_drafts_are_read_back_from_their_recipes(models: Path) -> None:
    flux = describe("flux", [models])
    for draft in (
        ResolutionDraft(),
        ResolutionDraft(times=1, negative="fog", seed=7),
        ResolutionDraft(times=4, strengths=(0.6, 0.35), radii=(16.0, 8.5), tiled=True),
        ResolutionDraft(times=4, radii=(0.0, 8.0), ntk=3.5, size=(64, 96)).on(flux),
        ResolutionDraft().on(describe("sd3", [models])),
        ResolutionDraft(times=4).on(describe("emoji-sd")),
    ):
        found = ResolutionDraft.of(draft.recipe())
        assert found is not None
        assert found.recipe() == draft.recipe()
        assert found.times == draft.times and found.tiled == draft.tiled
    recipe = ResolutionDraft(times=4).recipe()
    first, second = recipe.finer
    for other in (
        recipe.model_copy(update={"finer": (first.model_copy(update={"factor": 3.0}),)}),
        recipe.model_copy(update={"finer": (first, second.model_copy(update={"tiled": True}))}),
        recipe.model_copy(update={"finer": (first, second.model_copy(update={"ntk": 2.0}))}),
        recipe.model_copy(update={"finer": (first,) * 3}),
        recipe.model_copy(update={"prompts": ("a", "b")}),
        Recipe(prompts=("a cat",), controls=({"control": "structure_phrases"},)),  # type: ignore[arg-type]
    ):
        assert ResolutionDraft.of(other) is None


def test_a_model_keeps_only_what_it_has(models: Path) -> None:
    draft = ResolutionDraft(model="any")
    kept = {
        name: [(step.radius, step.ntk) for step in draft.on(model).recipe().finer]
        for name, model in (
            ("flux", describe("flux", [models])),
            ("sd3", describe("sd3", [models])),
            ("emoji-sd", describe("emoji-sd")),
            ("emoji-flux", describe("emoji-flux")),
            ("gone", None),
        )
    }
    assert kept == {
        "flux": [(16.0, 10.0)],
        "sd3": [(16.0, 1.0)],
        "emoji-sd": [(None, 1.0)],
        "emoji-flux": [(16.0, 10.0)],
        "gone": [(16.0, 10.0)],
    }


def test_the_command_means_the_same_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = import_module("attention_studio.cli.generate")
    drawn: list[Recipe] = []

    def keep(_session: object, recipe: Recipe, *_: object, **__: object) -> tuple[None, ...]:
        drawn.append(recipe)
        return (None,) * 3

    monkeypatch.setattr(command, "run_and_keep", keep)
    monkeypatch.setattr(command, "summary", lambda *_, **__: None)
    draft = ResolutionDraft(
        times=4, strengths=(0.6, 0.3), radii=(16.0, 0.0), seed=3, negative="fog"
    )
    steps = (
        {"factor": 2, "strength": 0.6, "radius": 16, "ntk": 10},
        {"factor": 2, "strength": 0.3},
    )
    finer = [part for step in steps for part in ("--finer", json.dumps(step))]
    more = ("--seed", "3", "--steps", "20", "--guidance", "5", "--negative", "fog")
    args = ["generate", "--prompt", draft.prompt, "--out", str(tmp_path), *finer, *more]
    made = CliRunner().invoke(app, args)
    assert made.exit_code == 0, made.output
    assert drawn == [draft.recipe()]
    assert drawn[0].digest == draft.recipe().digest


def test_tokens_and_pairs_are_said_before_drawing(models: Path) -> None:
    flux = describe("flux", [models])
    said = outlook(ResolutionDraft(times=4, radii=(16.0, 0.0)).recipe(), flux)
    assert said[0].startswith("1024 × 1024 px in 20 steps: 64 × 64 = 4,096 tokens")
    assert said[0].endswith("16,777,216 pairs between them.")
    assert said[1].startswith("2048 × 2048 px in 14 steps: 128 × 128 = 16,384 tokens")
    assert said[1].endswith("of 268,435,456 pairs between them; windows leave out 95.7%.")
    assert said[2].endswith(
        "256 × 256 = 65,536 tokens of the picture, 4,294,967,296 pairs between them."
    )
    assert pairs_said((3, 3), 1.5) == "49 of 81 pairs between them; windows leave out 39.5%"
    emoji = outlook(ResolutionDraft().on(describe("emoji-sd")).recipe(), describe("emoji-sd"))
    assert emoji == ("128 × 128 px in 20 steps.", "256 × 256 px in 14 steps.")


def test_what_is_compared_differs_in_one_thing(models: Path) -> None:
    flux, emoji = describe("flux", [models]), describe("emoji-sd")
    recipe = ResolutionDraft(times=4).recipe()
    dense = beside(recipe, "dense", flux)
    assert dense is not None
    assert [(step.radius, step.ntk, step.strength) for step in dense.finer] == [(None, 1, 0.7)] * 2
    assert dense.model_copy(update={"finer": recipe.finer}) == recipe
    assert beside(dense, "dense", flux) is None and beside(recipe, "nothing", flux) is None
    with pytest.raises(ValueError, match="at once it would be 4096 × 4096 pixels"):
        beside(recipe, "at once", flux)
    once = beside(recipe, "at once", emoji)
    assert once is not None
    assert (once.size, once.finer, once.seed) == ((512, 512), (), recipe.seed)
    assert beside(once, "at once", emoji) is None


def test_the_example_and_the_same_at_once(
    page: Callable[..., AppTest], out: Path, starts: Callable[[], list[Any]]
) -> None:
    at = page("resolution")
    assert not at.exception
    said = text_of(at)
    assert "256 × 256 px in 14 steps." in said and "has no local windows" in said
    assert not [field for field in at.number_input if "Radius" in field.label]
    assert list(at.segmented_control(key="resolution_beside").options) == [
        "Nothing",
        "At once",
    ]
    at.segmented_control(key="resolution_beside").set_value("at once").run()
    at.button(key="resolution_go").click().run()
    assert not at.error and not at.exception
    ended(out, 2)
    at.run()
    assert not at.exception and not at.error
    assert starts() == ["worker", ["a red house on grass"], ["a red house on grass"]]
    assert asked(out, at) == ResolutionDraft(radii=(0.0, 0.0), ntk=1.0).recipe()
    assert [tab.label for tab in at.tabs] == ["Figures", "Compare", "Recipe"]
    table = at.table[0].value
    assert list(table.columns) == ["", "In steps", "At once"]
    assert list(table["In steps"]) == ["128 × 128", "0.1", "1.50 GB", "full attention"]
    pictures = sorted(out.rglob("*.png"))
    assert len(pictures) == 2
    assert {Image.open(path).size for path in pictures} == {(128, 128), (256, 256)}
    stored = Gallery(out).recipe_of(pictures[0]).recipe
    assert stored is not None and stored.prompts == ("a red house on grass",)
    at.selectbox(key=f"part_{at.session_state['resolution_job']}").set_value("Middle").run()
    assert not at.exception


def test_windows_beside_full_attention_survive_a_reload(
    page: Callable[..., AppTest], out: Path, models: Path
) -> None:
    at = page("resolution", models=(models,))
    at.selectbox(key="resolution_model").set_value("flux").run()
    at.segmented_control(key="resolution_times").set_value(4).run()
    at.number_input(key="resolution_radii_1").set_value(8.0).run()
    at.slider(key="resolution_strengths_1").set_value(0.4).run()
    at.toggle(key="resolution_tiled").set_value(True).run()
    at.segmented_control(key="resolution_beside").set_value("dense").run()
    at.text_input(key="resolution_negative").set_value("fail").run()  # no such picture to paint
    assert "128 × 128 = 16,384 tokens of the picture" in text_of(at)
    assert not at.exception
    at.button(key="resolution_go").click().run()
    ended(out, 2)
    at.run()
    assert any("failure" in error.value.replace("\\", "") for error in at.error)
    assert not at.exception
    recipe = asked(out, at)
    assert [(s.radius, s.ntk, s.strength, s.tiled) for s in recipe.finer] == [
        (16.0, 10.0, 0.7, True),
        (8.0, 10.0, 0.4, True),
    ]
    assert len(Journal(out).all("SELECT id FROM jobs")) == 2
    again = page("resolution", models=(models,), job=at.session_state["resolution_job"])
    assert not again.exception
    assert again.segmented_control(key="resolution_times").value == 4
    assert again.number_input(key="resolution_radii_1").value == 8.0
    assert again.selectbox(key="resolution_model").value == "flux"
    assert any("failure" in error.value.replace("\\", "") for error in again.error)


def test_costs_stand_side_by_side(page: Callable[..., AppTest], out: Path, models: Path) -> None:
    at = page("resolution", models=(models,))
    at.selectbox(key="resolution_model").set_value("sd3").run()
    assert not [field for field in at.number_input if "NTK" in field.label]
    at.session_state["resolution_size"] = (64, 64)
    at.segmented_control(key="resolution_beside").set_value("dense").run()
    at.number_input(key="resolution_radii_0").set_value(2.0).run()
    at.button(key="resolution_go").click().run()
    assert not at.error and not at.exception
    ended(out, 2)
    at.run()
    assert not at.exception
    table = at.table[0].value
    assert list(table.columns) == ["", "Local windows", "Full attention"]
    pairs = list(table.iloc[3])[1:]
    assert pairs[0].startswith("64 tokens, 484 of 4,096 pairs") and pairs[0].endswith("88.2%")
    assert pairs[1] == "64 tokens, 4,096 pairs between them"
    for path in out.rglob("*.png"):
        path.unlink()
    at.run()
    assert any("not in the folder any more" in info.value for info in at.info)
    assert not at.exception


def test_what_is_refused_is_said_and_nothing_is_lost(
    page: Callable[..., AppTest], out: Path, models: Path
) -> None:
    at = page("resolution", models=(models,))
    at.text_area(key="resolution_prompt").set_value("an owl <b>at</b> night").run()
    at.segmented_control(key="resolution_beside").set_value("at once").run()
    at.segmented_control(key="resolution_times").set_value(1).run()
    at.button(key="resolution_go").click().run()
    assert "expected a step up" in at.error[0].value.replace("\\", "")
    at.segmented_control(key="resolution_times").set_value(4).run()
    at.selectbox(key="resolution_model").set_value("flux").run()
    at.button(key="resolution_go").click().run()
    assert "4096" in at.error[0].value
    at.segmented_control(key="resolution_beside").set_value("dense").run()
    for row in range(len(TIMES) - 1):
        at.number_input(key=f"resolution_radii_{row}").set_value(0.0).run()
    at.button(key="resolution_go").click().run()
    assert "with a radius" in at.error[0].value
    at.segmented_control(key="resolution_beside").set_value("nothing").run()
    at.slider(key="resolution_strengths_0").set_value(0.05)
    at.number_input(key="resolution_steps").set_value(2).run()
    at.button(key="resolution_go").click().run()
    assert "leaves none to draw" in at.error[0].value
    assert not at.exception and "resolution_job" not in at.session_state
    assert not Journal(out).all("SELECT id FROM jobs")
    assert at.text_area(key="resolution_prompt").value == "an owl <b>at</b> night"
    assert at.slider(key="resolution_strengths_0").value == 0.05


def test_another_page_s_job_is_left_alone(page: Callable[..., AppTest], out: Path) -> None:
    recipe = Recipe(prompts=("a", "b"), steps=1)
    job = Journal(out).submit(recipe.model_dump(mode="json"), {"maps": True}, "ann")
    at = page("resolution", job=job.key)
    assert not at.exception and "resolution_job" not in at.session_state
