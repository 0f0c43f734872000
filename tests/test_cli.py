"""The command line: exit codes, sentences, the JSON object, file names, hard prompts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops
from typer.testing import CliRunner, Result

from attention_studio.cli import app
from attention_studio.gallery import Gallery
from attention_studio.pipelines.load import EMBEDDED, resolve

from .hostile_prompts import HOSTILE


def _has(model: str) -> bool:
    try:
        return resolve(model).is_dir()
    except ValueError:
        return False


trained = pytest.mark.skipif(not _has(EMBEDDED[0]), reason="emoji-sd is not trained yet")


def call(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def draw(tiny_sd: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """`generate` on the tiny model, one step, into tmp_path; --prompt for each positional."""

    def run(*prompts: str, **options: object) -> Result:
        given = {"model": tiny_sd, "out": tmp_path, "steps": 1, **options}
        args = [part for prompt in prompts for part in ("--prompt", prompt)]
        args += [f"--{k.replace('_', '-')}" for k, v in given.items() if v is True]
        args += [f"--{k}={v}" for k, v in given.items() if v is not True]
        return call("generate", *args, "--json")

    return run


def same(a: str, b: str) -> bool:
    return ImageChops.difference(Image.open(a), Image.open(b)).getbbox() is None


def test_version_and_help() -> None:
    assert re.fullmatch(r"attention-studio \d+\.\d+\.\d+\n", call("--version").stdout)
    assert "generate" in call("--help").stdout


def test_the_json_object_keeps_its_contract(draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = draw("a cat on grass", "a dog", seed=7)
    assert done.exit_code == 0, done.stderr
    object_ = json.loads(done.stdout)
    assert list(object_) == ["images", "receipt", "judge", "timings", "recipe"]
    assert list(object_["receipt"]) == [
        "changed_inside", "changed_outside", "psnr_outside", "map_shift", "effect", "warnings",
    ]  # fmt: skip
    assert object_["judge"] is None
    assert set(object_["timings"]) == {"load", "generate", "judge"}
    assert object_["recipe"]["prompts"] == ["a cat on grass", "a dog"]
    assert object_["recipe"]["size"] == [32, 32]
    names = [Path(path).relative_to(tmp_path).as_posix() for path in object_["images"]]
    today = date.today().isoformat()
    assert re.fullmatch(rf"{today}/000000-7-a-cat-on-grass-[0-9a-f]{{8}}\.png", names[0])
    assert re.fullmatch(rf"{today}/000001-8-a-dog-[0-9a-f]{{8}}\.png", names[1])
    assert len(list(tmp_path.glob("*/contact-sheet-*.png"))) == 1
    assert not list(tmp_path.rglob("*.part"))


def test_each_png_carries_its_recipe(draw) -> None:  # type: ignore[no-untyped-def]
    printed = json.loads(draw("一只猫 🐱").stdout)
    record = json.loads(Image.open(printed["images"][0]).text["attention_studio"])  # type: ignore[attr-defined]
    assert record["recipe"] == printed["recipe"]
    assert record["recipe"]["prompts"] == ["一只猫 🐱"]
    assert {"torch", "diffusers"} <= set(record["versions"])


def test_picture_i_is_the_picture_of_seed_plus_i(draw) -> None:  # type: ignore[no-untyped-def]
    both = json.loads(draw("a cat", "a dog", seed=3).stdout)["images"]
    alone = json.loads(draw("a dog", seed=4).stdout)["images"]
    other = json.loads(draw("a dog", seed=5).stdout)["images"]
    assert same(both[1], alone[0])
    assert not same(alone[0], other[0])


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_prompts_appear_literally(draw, prompt: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = draw(prompt, "a cat", no_syntax=True)
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    path = Path(printed["images"][0])
    assert path.name.isascii() and path.name.isprintable() and len(path.name) < 100
    assert printed["recipe"]["prompts"][0] == prompt
    stored = Gallery(tmp_path).recipe_of(path)
    assert stored.recipe is not None and stored.recipe.prompts[0] == prompt
    with Image.open(path) as image:
        assert image.text["parameters"].startswith(f"{prompt}\nSteps: 1, ")  # type: ignore[attr-defined]
    assert repr(prompt) in done.stderr  # the summary: in quotes, so that nothing acts
    assert all(line.isprintable() for line in done.stderr.splitlines())
    assert "\x1b" not in done.stdout
    (entry,) = [e for e in Gallery(tmp_path).newest() if e.index == 0]
    assert entry.prompt == prompt


def test_words_that_are_cut_are_named(draw) -> None:  # type: ignore[no-untyped-def]
    prompt = " ".join(f"word{i}" for i in range(300))
    done = draw(prompt)
    assert done.exit_code == 0, done.stderr
    (warning,) = json.loads(done.stdout)["receipt"]["warnings"]
    kept, cut = prompt.split("word", 1)[1], warning.partition(": ")[2]
    assert prompt.endswith(cut) and cut.startswith("word") and len(cut) < len(kept)
    assert "word299" in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 0}, "width: 0 came"),
        ({"height": -8}, "height: -8 came"),
        ({"width": 36}, "width: 36 came; tiny-sd expects a multiple of 8"),
        ({"height": 99999}, "height: 99999 came"),
        ({"width": "wide"}, "--width"),
        ({"steps": 0}, "steps: 0 came"),
        ({"seed": -2}, "seed: -2 came"),
        ({"guidance": "nan"}, "guidance: nan came"),
        ({"model": "no/such-model"}, "model: 'no/such-model' is no such folder"),
        ({"device": "abacus"}, "device: 'abacus' came"),
        ({"dtype": "int8"}, "dtype: 'int8' came"),
    ],
)
def test_bad_input_is_one_sentence(draw, options: dict[str, object], says: str) -> None:  # type: ignore[no-untyped-def]
    done = draw("a cat", **options)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_bad_part_is_not_told_twice(draw) -> None:  # type: ignore[no-untyped-def]
    done = draw("x" * 30_000)
    assert done.exit_code == 2
    assert "at most 20000 characters" in done.stderr
    assert "at least 1 item" not in done.stderr


@pytest.mark.parametrize("args", [("edit",), ("nonsense",), ("--nonsense",), ("train", "x")])
def test_bad_usage_is_one_sentence(args: tuple[str, ...]) -> None:
    done = call(*args)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_a_missing_device_is_the_environment_s_fault(draw) -> None:  # type: ignore[no-untyped-def]
    done = draw("a cat", device="cuda")
    assert done.exit_code == 3
    assert "no CUDA device" in done.stderr


def test_a_folder_that_cannot_be_written_is_the_environment_s_fault(  # type: ignore[no-untyped-def]
    draw, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = draw("a cat", out=tmp_path / "file")
    assert done.exit_code == 3
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "code"), [(KeyboardInterrupt(), 130), (TypeError("a bug"), 3), (ValueError("x"), 2)]
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("attention_studio.cli.models.find_models", fail)
    done = call("models")
    assert done.exit_code == code
    assert "Traceback" not in done.stderr
    assert ("Traceback" in call("--debug", "models").stderr) is (code != 130)


def test_models_lists_local_folders(tiny_sd: Path) -> None:
    found = json.loads(call("models", "--models-dir", tiny_sd.parent, "--json").stdout)["models"]
    (tiny,) = [model for model in found if model["name"] == "tiny-sd"]
    assert (tiny["family"], tiny["image_size"]) == ("StableDiffusionPipeline", 32)
    assert "tiny-sd" in call("models", "--models-dir", tiny_sd.parent).stdout
    assert call("models", "--models-dir", tiny_sd / "nowhere").exit_code == 2


def test_a_real_process(tiny_sd: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "attention_studio", "generate", "--prompt", "a cat", "--json"]
    command += ["--steps", "1", "--out", str(tmp_path), "--model"]
    done = subprocess.run([*command, str(tiny_sd)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["images"][0]).is_file()
    bad = subprocess.run([*command, "nowhere"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("attention-studio: model: 'nowhere'")
    assert bad.stderr.count("\n") == 1


@trained
def test_emoji_sd_is_judged(tmp_path: Path) -> None:
    done = call("generate", "--prompt", "a cat on grass", "--json", "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    (picture,) = printed["judge"]["pictures"]
    assert {"text", "nouns", "nouns_ok", "boxes"} <= set(picture)
    assert printed["receipt"]["warnings"] == []


def test_the_time_left_does_not_count_the_model_s_loading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from attention_studio.cli import progress

    clock = iter([0.0, 100.0, 104.0, 108.0, 120.0])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    with progress.progress_bar("drawing", quiet=False) as report:
        for done in range(1, 5):
            report(done, 10)
    said = capsys.readouterr().err.splitlines()
    assert said == ["drawing 2/10, about 32 s left", "drawing 4/10, about 40 s left"]
