"""Stories written down, the command `story`, and portraits that are drawn once."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from attention_studio import Session
from attention_studio.app.story_draft import StoryDraft
from attention_studio.cli.story import story
from attention_studio.pipelines import STORY_METHODS, Story
from attention_studio.story import METHODS, StoryJob, StoryRecipe
from attention_studio.story.carried import KEY

from .conftest import call

Command = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]

SUBJECTS = ("--subject", "cat: a cat on grass", "--subject", "dog: a dog on grass")
SCENE = ("--scene", "a cat and a dog on grass")
TOLD: dict[str, Any] = {
    "subjects": [
        {"word": "cat", "portrait": "a cat on grass"},
        {"word": "dog", "portrait": "a dog on grass"},
    ],
    "scenes": [{"prompt": "a cat and a dog on grass"}, {"prompt": "a dog on sand"}],
}


def test_import_command_and_page_begin_with_the_same_method() -> None:
    told = StoryRecipe.model_validate(TOLD).method
    said = inspect.signature(story).parameters["method"].default
    assert said == told == StoryDraft().method
    assert inspect.signature(Story).parameters["method"].default is STORY_METHODS[told]


@pytest.fixture
def run(
    session: Session, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command on the warm tiny model, two steps, into `out`."""
    monkeypatch.setattr(sys.modules[story.__module__], "new_session", lambda *_: session)

    def command(*args: object) -> Result:
        asked = ("story", "--model", tiny_sd, "--out", tmp_path / "out", "--steps", 2, *args)
        return call(*asked)

    return command


def test_portraits_are_drawn_once(
    run: Command, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.warm()
    drawn, make = [], type(session.pipe).__call__

    def counted(self: Any, *args: Any, **more: Any) -> Any:
        drawn.append(len(more["prompt"]))
        return make(self, *args, **more)

    monkeypatch.setattr(type(session.pipe), "__call__", counted)
    found = run(*SUBJECTS, *SCENE, "--retries", 0, "--json", "--quiet")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert drawn == [1, 1, 1, 1]
    folder = tmp_path / "out" / f"story-{StoryRecipe.model_validate(said['recipe']).digest}"
    assert said["images"] == [str(folder / "scene-01.png")]
    assert said["reused"] == [] and said["masks"] == "words" and said["judge"] is None
    assert said["receipt"]["notes"][0].startswith("reposition_subjects gave a portrait to")
    assert said["receipt"]["changed_inside"] >= 0 and said["receipt"]["changed_outside"] is None
    assert json.loads((folder / "story.json").read_text("utf-8")) == said
    with Image.open(folder / "scene-01.png") as image:
        record = json.loads(image.info[KEY])
    assert record["story"] == said["recipe"] and record["scene"] == 0
    assert Image.open(said["sheet"]).width > 3 * 64

    again = run("--recipe", folder / "story.json", "--json", "--quiet")
    same = json.loads(again.stdout)
    assert drawn[4:] == [1, 1, 1, 1] and same["reused"] == ["cat", "dog"]
    assert same["recipe"] == said["recipe"] and same["receipt"] == said["receipt"]
    carried = run("--recipe", folder / "scene-01.png", "--json", "--quiet")
    assert json.loads(carried.stdout)["recipe"] == said["recipe"]
    del drawn[:]
    text = run(*SUBJECTS, "--scene", "a dog on sand", "--retries", 0).stdout
    assert drawn == [1, 1, 1]  # the cat is not in it
    assert "portrait of 'dog', drawn before" in text and "receipt The controls" in text

    portrait = Path(said["portraits"]["dog"])
    pixels = Image.open(portrait).tobytes()
    portrait.write_bytes(portrait.read_bytes()[:60])  # as after a crash of another program
    mended = json.loads(run(*SUBJECTS, *SCENE, "--retries", 0, "--json", "--quiet").stdout)
    assert mended["reused"] == ["cat"] and Image.open(portrait).tobytes() == pixels
    anew = run(*SUBJECTS, *SCENE, "--negative", "sand", "--retries", 0, "--json", "--quiet")
    other = json.loads(anew.stdout)
    assert other["reused"] == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (SCENE, "--subject or --recipe is needed"),
        (SUBJECTS, "--scene or --recipe is needed"),
        (("--subject", "a cat", *SCENE), 'expected "WORD: PORTRAIT"'),
        (("--subject", "cat: a dog", *SCENE), "expected a prompt with 'cat'"),
        ((*SUBJECTS, *SUBJECTS[:2], *SCENE), "expected each with a word of its own"),
        ((*SUBJECTS, "--scene", "a house"), "number 1 names nobody of the cast"),
        ((*SUBJECTS, *SCENE, "--method", "magic"), "came 'magic'; expected one of base"),
        ((*SUBJECTS, *SCENE, "--assign", "fate"), "assign"),
        ((*SUBJECTS, *SCENE, "--retries", 99), "retries"),
        (("--recipe", "nowhere.json"), "is no file"),
        (("--recipe", ROOT / "docs" / "edit.png"), "carries no story"),
        (
            ("--subject", "goat: a goat", "--scene", "a goat", "--masks", "judge"),
            "'judge', which does not know 'goat'",
        ),
    ],
)
def test_bad_input_is_one_sentence(run: Command, args: tuple[str, ...], said: str) -> None:
    found = run(*args)
    assert found.exit_code == 2, found.output
    assert said in found.stderr and "Traceback" not in found.stderr


def test_a_story_is_read_back() -> None:
    told = StoryRecipe.model_validate(TOLD)
    assert StoryRecipe.model_validate_json(told.model_dump_json()) == told
    assert StoryJob.read(json.dumps(StoryJob(told).recipe)).story == told
    assert told.cast_of(0) == ("cat", "dog") and told.cast_of(1) == ("dog",)
    assert [told.seed_of(number) for number in (0, 1)] == [1, 2]
    assert told.digest != told.model_copy(update={"seed": 1}).digest
    assert tuple(STORY_METHODS) == METHODS
    with pytest.raises(ValueError, match="it is no story"):
        StoryJob.read("{}")
    place = {"prompt": "a cat", "places": {"cat": (0.5, 0, 0.2, 1)}}
    with pytest.raises(ValueError, match="expected left < right"):
        StoryRecipe.model_validate({**TOLD, "scenes": [place]})
    assert told.complete and not StoryRecipe.model_validate({**TOLD, "story_version": 1}).complete
    stranger = {"prompt": "a cat", "places": {"goat": (0, 0, 1, 1)}}
    with pytest.raises(ValueError, match="number 1 has a place for 'goat'; expected one of cat"):
        StoryRecipe.model_validate({**TOLD, "scenes": [stranger]})


def test_a_page_can_read_it_without_torch() -> None:
    code = "import sys, attention_studio.story; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
