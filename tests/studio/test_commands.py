"""The picture-making commands: same pixels everywhere, contracts, and a sentence for bad input."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from attention_studio import Recipe, Session
from attention_studio.cli.pictures import new_session
from attention_studio.control_specs import CONTROLS

from .conftest import CAT, DOG, call

Command = Callable[..., Result]
RECEIPT = [
    "changed_inside", "changed_outside", "psnr_outside", "map_shift", "effect", "warnings",
]  # fmt: skip


@pytest.fixture(autouse=True)
def warm(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands on the tiny model take the warm session: loading it each time tests nothing."""
    from attention_studio.cli.edit import edit
    from attention_studio.cli.generate import generate
    from attention_studio.cli.maps import maps
    from attention_studio.cli.replay import replay

    def new(model: str, *rest: Any) -> Session:
        return session if model == session.model else new_session(model, *rest)

    for module in (edit, generate, maps, replay):
        monkeypatch.setattr(sys.modules[module.__module__], "new_session", new)


@pytest.fixture
def run(tiny_sd: Path, tmp_path: Path) -> Command:
    """A command on the tiny model, two steps, into tmp_path."""

    def command(name: str, *args: object, given: str | None = None) -> Result:
        common = ("--model", tiny_sd, "--out", tmp_path, "--steps", 2)
        return call(name, *common, *args, given=given)

    return command


@pytest.fixture
def drawn(run: Command) -> Callable[..., dict[str, Any]]:
    """The JSON object of a command that must work."""

    def command(*args: object) -> dict[str, Any]:
        done = run(*args, "--json")
        assert done.exit_code == 0, done.stderr
        return dict(json.loads(done.stdout))

    return command


def pixels(path: str | Path) -> np.ndarray:  # type: ignore[type-arg]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def test_edit_keeps_the_contract(drawn) -> None:  # type: ignore[no-untyped-def]
    found = drawn("edit", "--prompt", CAT, "--to", DOG, "--seed", 5, "--blend", "cat")
    assert list(found) == ["images", "receipt", "judge", "timings", "recipe"]
    assert list(found["receipt"]) == RECEIPT
    assert found["receipt"]["effect"] in ("weak", "visible")
    assert set(found["receipt"]["map_shift"]) == {"grass"}
    assert found["recipe"]["prompts"] == [CAT, DOG]
    assert [Path(path).name[:9] for path in found["images"]] == ["000000-5-", "000001-5-"]
    assert {"load", "generate", "judge", "plain"} == set(found["timings"])
    folder = Path(found["images"][0]).parent
    assert len(list(folder.glob("contact-sheet-*.png"))) == 1
    assert len(list(folder.glob("*-plain.png"))) == 1


def test_several_edits_have_a_receipt_each(drawn) -> None:  # type: ignore[no-untyped-def]
    found = drawn("edit", "--prompt", CAT, "--to", DOG, "--to", "a cat on sand")
    assert len(found["images"]) == 3
    assert [list(receipt) for receipt in found["receipts"]] == [RECEIPT] * 2


def test_a_summary_in_words(run: Command) -> None:
    done = run("edit", "--prompt", CAT, "--weight", "cat=-6", "--words", "cat")
    assert done.exit_code == 0, done.stderr
    assert "receipt The edit changed the picture by" in done.stdout
    assert "'cat' by 0." in done.stdout
    assert run("edit", "--prompt", CAT, "--to", DOG, "--quiet").stdout == ""


def test_the_same_pixels_by_command_by_python_and_again(  # type: ignore[no-untyped-def]
    drawn, run: Command, session: Session, tmp_path: Path
) -> None:
    found = drawn("edit", "--prompt", CAT, "--to", DOG, "--seed", 3)
    recipe = Recipe.model_validate(found["recipe"])
    here = session.run(recipe).images
    for path, image in zip(found["images"], here, strict=True):
        assert np.array_equal(pixels(path), np.asarray(image, np.int16))
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    other = tmp_path / "again"
    from_file = call("generate", "--recipe", tmp_path / "recipe.json", "--out", other, "--json")
    from_png = call("generate", "--recipe", found["images"][1], "--out", other, "--json")
    for done in (from_file, from_png):
        for path, again in zip(found["images"], json.loads(done.stdout)["images"], strict=True):
            assert np.array_equal(pixels(path), pixels(again))
    for path in found["images"]:
        done = call("replay", path, "--json")
        assert done.exit_code == 0, done.stderr
        replayed = json.loads(done.stdout)["replay"]
        assert replayed == {"identical": True, "max_difference": 0, "notes": []}


def test_replay_draws_only_the_one_picture_of_a_plain_run(drawn) -> None:  # type: ignore[no-untyped-def]
    found = drawn("generate", "--prompt", CAT, "--prompt", DOG, "--seed", 7)
    done = call("replay", found["images"][1], "--json")
    assert json.loads(done.stdout)["replay"]["identical"] is True
    assert json.loads(done.stdout)["recipe"]["prompts"] == [DOG]
    assert json.loads(done.stdout)["recipe"]["seed"] == 8


def test_replay_says_what_changed(drawn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from PIL.PngImagePlugin import PngInfo

    (path,) = drawn("generate", "--prompt", CAT)["images"]
    with Image.open(path) as image:
        record = json.loads(image.text["attention_studio"])  # type: ignore[attr-defined]
        record["versions"]["torch"] = "1.0"
        info = PngInfo()
        info.add_itxt("attention_studio", json.dumps(record))
        other = image.point(lambda value: value ^ 1)
        other.save(tmp_path / "changed.png", pnginfo=info)
        image.resize((16, 16)).save(tmp_path / "small.png", pnginfo=info)
    done = call("replay", tmp_path / "changed.png")
    assert done.exit_code == 1
    assert "different: by at most 1 of 255" in done.stdout
    assert "note: torch: 1.0 then, " in done.stderr
    small = call("replay", tmp_path / "small.png")
    assert small.exit_code == 1 and "16 x 16" in small.stderr


def test_maps_are_drawn_and_measured(drawn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    found = drawn("maps", "--prompt", CAT, "--words", "cat, grass")
    assert [one["word"] for one in found["maps"]] == ["cat", "grass"]
    for one in found["maps"]:
        with Image.open(one["raw"]) as raw:
            assert raw.mode.startswith("I")
            peak = np.asarray(raw).max() / 65535
        assert peak == pytest.approx(one["peak"], abs=1e-4)
        assert one["mass"] is None and one["iou"] is None  # no judge for this model
        with Image.open(one["overlay"]) as overlay:
            assert overlay.width == 256
    every = drawn("maps", "--prompt", CAT)
    assert [one["word"] for one in every["maps"]] == ["a", "cat", "on", "grass"]


def test_controls_by_name_and_as_json(drawn) -> None:  # type: ignore[no-untyped-def]
    weigh = json.dumps({"control": "reweight_words", "weights": {"cat": 3.0}})
    found = drawn("generate", "--prompt", CAT, "--control", weigh, "--compare")
    assert found["receipt"]["changed_inside"] is not None
    alone = drawn("generate", "--prompt", CAT, "--control", weigh)
    assert alone["receipt"]["changed_inside"] is None
    edit = drawn("generate", "--prompt", CAT, "--prompt", DOG, "--control", "p2p")
    assert [c["control"] for c in edit["recipe"]["controls"]] == ["replace_words", "keep_layout"]
    assert edit["receipt"]["effect"] is not None


def test_the_syntax_of_other_tools_is_read_or_left_alone(drawn) -> None:  # type: ignore[no-untyped-def]
    text = "a (cat:1.5) on grass"
    weighed = drawn("generate", "--prompt", text)["recipe"]
    assert weighed["prompts"] == [CAT]
    assert [c["control"] for c in weighed["controls"]] == ["reweight_words"]
    literal = drawn("generate", "--prompt", text, "--no-syntax")["recipe"]
    assert (literal["prompts"], literal["controls"]) == ([text], [])
    swap = drawn("generate", "--prompt", "a (cat).swap(dog) on grass")
    assert swap["recipe"]["prompts"] == [CAT, DOG] and swap["receipt"]["effect"] is not None
    edit = drawn("edit", "--prompt", CAT, "--to", "a (dog:1.5) on grass")["recipe"]
    assert "reweight_words" in [c["control"] for c in edit["controls"]]
    assert edit["prompts"] == [CAT, DOG]


def test_options_override_a_recipe(tiny_sd: Path, tmp_path: Path) -> None:
    recipe = Recipe(model=str(tiny_sd), prompts=(CAT,), steps=1, seed=4)
    base = ("generate", "--recipe", "-", "--out", tmp_path, "--json")
    same = json.loads(call(*base, given=recipe.model_dump_json()).stdout)["recipe"]
    assert (same["seed"], same["steps"]) == (4, 1)
    args = ("--seed", 9, "--prompt", DOG, "--width", 40)
    other = json.loads(call(*base, *args, given=recipe.model_dump_json()).stdout)["recipe"]
    assert (other["seed"], other["steps"], other["prompts"]) == (9, 1, [DOG])
    assert other["size"] == [32, 40]


def test_models_tell_what_goes_together(tiny_sd: Path) -> None:
    found = json.loads(call("models", "--models-dir", tiny_sd.parent, "--json").stdout)
    assert set(found["capabilities"]["SD 1.x, 2.x"]) >= set(CONTROLS)
    table = call("models", "--models-dir", tiny_sd.parent).stdout
    assert "tiny-sd" in table and "keep_layout" in table and "SDXL" in table


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("edit", "--prompt", CAT), "to: came no edited prompt"),
        (("edit", "--prompt", CAT, "--to", DOG, "--mode", "morph"), "morph"),
        (("edit", "--prompt", CAT, "--to", DOG, "--mode", "reweight"), "weights: came none"),
        (("edit", "--prompt", CAT, "--to", DOG, "--weight", "dog"), "weight: 'dog' came"),
        (("edit", "--prompt", CAT, "--to", DOG, "--weight", "dog=loud"), "weight: 'dog=loud'"),
        (("edit", "--prompt", CAT, "--to", DOG, "--weight", "dog=nan"), "finite"),
        (("edit", "--prompt", CAT, "--to", DOG, "--weight", "frog=2"), "frog"),
        (("edit", "--prompt", CAT, "--to", DOG, "--blend", "frog"), "frog"),
        (("edit", "--prompt", CAT, "--to", DOG, "--words", "frog"), "frog"),
        (("edit", "--prompt", CAT, "--to", "a big dog", "--mode", "swap"), "as many words"),
        (("edit", "--prompt", CAT, "--to", DOG, "--cross-replace", 2), "cross_replace: came 2.0"),
        (("edit", "--prompt", CAT, "--to", DOG, "--self-replace", -1), "self_replace: came -1.0"),
        (("edit", "--prompt", CAT, "--to", DOG, "--width", 36), "width: 36 came"),
        (("edit", "--to", DOG), "--prompt"),
        (("maps", "--prompt", CAT, "--words", "frog"), "frog"),
        (("maps", "--prompt", ""), "words: the prompt has no word"),
        (("generate",), "--prompt or --recipe"),
        (("generate", "--prompt", CAT, "--control", "warp"), "there is no control 'warp'"),
        (("generate", "--prompt", CAT, "--control", "{"), "control: it is not valid JSON"),
        (("generate", "--prompt", CAT, "--control", "p2p"), "at least one edit"),
        (("generate", "--prompt", CAT, "--control", "local_blend"), "words: it is needed"),
        (("generate", "--prompt", CAT, "--compare"), "compare: "),
        (("generate", "--recipe", "nowhere.json"), "recipe: 'nowhere.json' is no file"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Command, args: tuple[object, ...], says: str, tmp_path: Path
) -> None:
    done = run(*args)
    assert done.exit_code == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "no JSON object"),
        (b'{"prompts": ["a"], "warp": 1}', "there is no field 'warp'"),
        (b'{"prompts": ["a"], "seed": 1, "seed": 2}', "key twice"),
        (b'{"prompts": ["a"], "guidance": NaN}', "NaN"),
        (b'{"prompts": ["\xff"]}', "neither JSON in UTF-8"),
        (b"GIF89a", "no PNG, JPEG or WebP"),
        (b"{" + b" " * 2**20 + b"}", "more than 1048576 bytes"),
    ],
)
def test_a_bad_recipe_file_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "recipe").write_bytes(content)
    done = call("generate", "--recipe", tmp_path / "recipe", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_replay_refuses_in_one_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    (tmp_path / "page.png").write_text("<html>")
    for name, code, says in [
        ("bare.png", 2, "carries no recipe"),
        ("page.png", 2, "no PNG, JPEG or WebP"),
        ("none.png", 3, "No such file"),
    ]:
        done = call("replay", tmp_path / name)
        assert (done.exit_code, done.stderr.count("\n")) == (code, 1), done.stderr
        assert says in done.stderr


def test_hostile_names_of_models_and_folders(tiny_sd: Path, tmp_path: Path) -> None:
    """Read as names, never as anything else."""
    name = "mod\u202eel [red]x \x1b[31m'; $(true) 猫"
    shutil.copytree(tiny_sd, tmp_path / name)
    done = call("models", "--models-dir", tmp_path, "--json")
    assert name in [model["name"] for model in json.loads(done.stdout)["models"]]
    args = ("--models-dir", tmp_path, "--prompt", CAT, "--steps", 1, "--json")
    good = call("generate", "--model", name, *args, "--out", tmp_path / "o [u] 't\u202e")
    assert good.exit_code == 0, good.stderr
    for bad in ("../x", "a\x00b", "\\\\host\\share", "CON", "x" * 5000, "\u202e", "~nobody/x"):
        done = call("generate", "--model", bad, *args, "--out", tmp_path / "out")
        assert done.exit_code == 2, (bad, done.stderr)
        assert done.stderr.count("\n") == 1 and "\x1b" not in done.stderr


def test_every_command_is_in_the_help() -> None:
    listed = call("--help").stdout
    for name in ("generate", "edit", "maps", "replay", "models"):
        assert name in listed
