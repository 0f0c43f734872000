"""The command `ground`: its files, its JSON, and a sentence for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from attention_studio import Session
from attention_studio.cli.ground import ground
from attention_studio.ground import GroundJob, GroundSettings, is_ground, save_grounding
from attention_studio.processors.grounding import GroundRules

from .conftest import call

Command = Callable[..., Result]


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    """A picture that is not square."""
    path = tmp_path / "two things.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def run(
    session: Session, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command on the warm tiny model, into `found`."""
    monkeypatch.setattr(sys.modules[ground.__module__], "new_session", lambda *_: session)

    def command(*args: object) -> Result:
        return call("ground", "--model", tiny_sd, "--out", tmp_path / "found", *args)

    return command


def test_files_and_json(run: Command, shown: Path, tmp_path: Path) -> None:
    found = run(shown, "the red cat", "--json", "--quiet")
    assert found.exit_code == 0, found.output
    said: dict[str, Any] = json.loads(found.stdout)
    facts, files = said["ground"], {k: Path(v) for k, v in said["ground"]["files"].items()}
    assert said["images"] == [str(files["overlay"])]
    assert all(path.parent == tmp_path / "found" for path in files.values())
    mask = np.asarray(Image.open(files["mask"]))
    assert mask.shape == (40, 60)
    assert set(np.unique(mask)) <= {0, 255}
    x, y = facts["point"]
    assert mask[y, x] == 255
    left, top, right, bottom = facts["box"]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (left, top, right, bottom)
    assert facts["mask_share"] == pytest.approx((mask > 0).mean(), abs=1e-4)
    raw = np.asarray(Image.open(files["raw"]))
    assert list(raw.shape) == facts["map_grid"]
    assert raw.max() / 65535 == pytest.approx(min(facts["map_peak"], 1.0), abs=1e-3)
    assert facts["prompt"] == "the red cat with to pink"
    assert set(facts["words"]) == {"red", "cat"}
    stored = json.loads(files["facts"].read_text(encoding="utf-8"))
    assert stored["box"] == facts["box"]
    assert stored["picture"] == str(shown)


def test_options_name_the_same_things_as_arguments(run: Command, shown: Path) -> None:
    texts = [
        run(*args, "--quiet", "--json").stdout
        for args in ((shown, "a cat"), ("--image", shown, "--expression", "a cat"))
    ]
    first, second = (json.loads(text)["ground"] for text in texts)
    first.pop("timings"), second.pop("timings")
    assert first == second


def test_what_is_printed_and_switches(run: Command, shown: Path) -> None:
    found = run(shown, "a cat", "--plain", "--width", "48", "--height", "32")
    assert found.exit_code == 0, found.output
    assert "found   'a cat' at" in found.stdout
    assert "read    'a cat'; sinks: none" in found.stdout
    told = json.loads(run(shown, "a cat", "--magnets", "on", "--json", "--quiet").stdout)["ground"]
    assert told["prompt"] == "a cat on"
    assert set("on") <= set("".join(told["dropped"]))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("nowhere.png", "a cat"), "nowhere.png"),
        (("{shown}",), "expression: none came"),
        ((), "picture: none came"),
        (("{shown}", "a cat", "--expression", "a dog"), "expression: it came twice"),
        (("{shown}", "?!"), "expression: came '?!'; expected one with a word"),
        (("{shown}", "cat " * 60), "the text encoder reads 77 tokens"),
        (("{shown}", "x" * 501), "at most 500"),
        (("{shown}", "a cat", "--cut", "1"), "--cut"),
        (("{shown}", "a cat", "--noise", "-1"), "--noise"),
        (("{shown}", "a cat", "--magnets", "two words"), "magnets: came 'two words'"),
        (("{shown}", "a cat", "--width", "33"), "size: came"),
        (("{shown}", "a cat", "--seed", "-1"), "seed: came -1"),
        (("{text}", "a cat"), "picture: it is no PNG, JPEG or WebP"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Command, shown: Path, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    found = run(*(arg.format(shown=shown, text=text) for arg in args))
    assert found.exit_code == (3 if "nowhere" in message else 2), found.output
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
    assert not found.stdout


@pytest.mark.parametrize("size", [(2000, 3), (6, 900), (1, 1)])
def test_pictures_of_any_shape(run: Command, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "long.png"
    Image.effect_noise(size, 90).save(path)
    found = run(path, "a cat", "--json", "--quiet")
    assert found.exit_code == 0, found.output
    files = json.loads(found.stdout)["ground"]["files"]
    assert Image.open(files["mask"]).size == size
    width, height = Image.open(files["overlay"]).size
    assert 1 <= width <= 256
    assert 1 <= height <= 1024


def test_a_box_smaller_than_a_pixel_of_the_overlay_is_drawn(
    session: Session, tmp_path: Path
) -> None:
    session.warm()
    picture = Image.effect_noise((1200, 400), 90)
    found = GroundSettings().ground(session.pipe, picture, "a cat")
    save_grounding(replace(found, box_px=(5, 5, 6, 6)), picture, tmp_path, "small", {})


def test_bad_words_are_told_before_the_model_is_loaded(
    shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(sys.modules[ground.__module__], "new_session", loaded.append)
    for args in (("?!",), ("x" * 501,), ("a cat", "--magnets", "two words")):
        assert call("ground", shown, *args).exit_code == 2
    assert not loaded


def test_settings_begin_as_the_method_does() -> None:
    """They are said again where nothing heavy may be imported."""
    settings = GroundSettings()
    assert settings.rules == GroundRules()
    assert settings.noise is None and settings.cut is None  # what suits the model
    assert GroundSettings(plain=True).rules == GroundRules.plain()


def test_a_job_is_read_back_and_keeps_its_picture(shown: Path, tmp_path: Path) -> None:
    settings = GroundSettings(size=(32, 48), noise=0.3, magnets=("on",), cut=0.5)
    job = GroundJob.of(shown.read_bytes(), " a cat ", "emoji-sd", settings, tmp_path)
    assert GroundJob.read(json.dumps(job.recipe)) == job
    assert job.expression == "a cat"
    assert job.path(tmp_path).read_bytes() == shown.read_bytes()
    assert is_ground('{"ground": true}')
    assert not is_ground('{"maps": true}')
    with pytest.raises(ValueError, match="it is no grounding"):
        GroundJob.read('{"prompts": ["a cat"]}')
    with pytest.raises(ValueError, match="expression: it is empty"):
        GroundJob.of(shown.read_bytes(), " ", "emoji-sd", settings, tmp_path)
    with pytest.raises(ValueError, match="picture: "):
        GroundJob.of(b"no picture", "a cat", "emoji-sd", settings, tmp_path)
