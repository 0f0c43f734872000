"""Models as single files, by name in folders, from the hub only when allowed; the matrix."""

from __future__ import annotations

import json
import runpy
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import zeros

from attention_studio import Recipe, Session, load
from attention_studio.capabilities import capabilities
from attention_studio.control_specs import CONTROLS
from attention_studio.models import describe, find_models
from attention_studio.pipelines.load import resolve

from .conftest import CAT
from .one_file import write_one_file


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def one_file(tiny_sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("single") / "mine.safetensors"
    write_one_file(load(tiny_sd), path)
    return path


@pytest.fixture
def with_settings(one_file: Path, tiny_sd: Path, tmp_path: Path) -> Path:
    """A single file beside a folder of settings without weights."""
    shutil.copytree(tiny_sd, tmp_path / "any", ignore=shutil.ignore_patterns("*.safetensors"))
    return Path(shutil.copy(one_file, tmp_path))


@pytest.mark.usefixtures("no_network")
def test_a_single_file_draws_the_same_pictures(
    with_settings: Path, tiny_sd: Path, session: Session
) -> None:
    recipe = Recipe(model=str(with_settings), prompts=(CAT,), steps=1)
    alone = Session().run(recipe).images[0]
    folder = session.run(recipe.model_copy(update={"model": str(tiny_sd)})).images[0]
    assert np.array_equal(np.asarray(alone), np.asarray(folder))


@pytest.mark.usefixtures("no_network")
def test_without_settings_the_way_out_is_named(one_file: Path) -> None:
    with pytest.raises(ValueError, match=r"no folder beside it has their settings; put a") as error:
        load(one_file)
    assert "StableDiffusionPipeline" in str(error.value) and "\n" not in str(error.value)


def test_single_files_are_described_and_found(with_settings: Path) -> None:
    model = describe(with_settings)
    assert (model.name, model.family) == ("mine", "StableDiffusionPipeline")
    assert (model.image_size, model.factor) == (32, 8)
    (with_settings.parent / "broken.safetensors").write_bytes(b"<html>")
    assert model in find_models([with_settings.parent])
    assert describe("mine", [with_settings.parent]) == model


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git-LFS pointer"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"PK\x03\x04" + b"\0" * 100, "whatever its name says"),
        (b"", "0 bytes"),
        (None, "cut short or damaged"),
    ],
)
def test_broken_single_files_are_explained(
    with_settings: Path, content: bytes | None, says: str
) -> None:
    whole = with_settings.read_bytes()
    with_settings.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=says) as error:
        load(with_settings)
    assert "mine.safetensors" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        ("lora_unet_down.weight", "holds a LoRA"),
        ("double_blocks.0.weight", "a transformer model without its autoencoder"),
        ("decoder.conv.weight", "one part of a diffusers folder"),
        ("x", "no image model that is known"),
        ("model.diffusion_model.x", "no text encoder"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, tensor: str, says: str) -> None:
    save_file({f"{tensor}": zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=says):
        load(tmp_path / "other.safetensors")


def test_settings_that_do_not_fit_are_named(with_settings: Path) -> None:
    config = with_settings.parent / "any" / "unet" / "config.json"
    changed = json.loads(config.read_text()) | {"cross_attention_dim": 64}
    config.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="does not fit the settings of") as error:
        load(with_settings)
    assert "\n" not in str(error.value)


def test_the_embedded_models_come_first(tiny_sd: Path) -> None:
    found = find_models([tiny_sd])
    assert [(model.name, model.family, model.image_size) for model in found] == [
        ("emoji-sd", "StableDiffusionPipeline", 128),
        ("emoji-flux", "FluxPipeline", 128),
        ("tiny-sd", "StableDiffusionPipeline", 32),
    ]
    assert [(model.factor, model.token_px) for model in found[:2]] == [(8, 8), (8, 8)]


def test_names_are_looked_for_in_folders_only(tiny_sd: Path) -> None:
    assert resolve("tiny-sd", [tiny_sd.parent]) == tiny_sd
    for name in ("../models0/tiny-sd", "nothing"):
        with pytest.raises(ValueError, match="no such folder"):
            resolve(name, [tiny_sd.parent])


def test_the_hub_is_asked_only_when_allowed(tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        assert not [p for p in allow_patterns if "py" in p or "bin" in p]
        asked.append(name)
        return str(tiny_sd)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(ValueError, match="no such folder"):
        load("some/model")
    assert asked == []
    assert resolve("some/model", allow_download=True) == tiny_sd
    assert asked == ["some/model"]
    with pytest.raises(ValueError, match="no such folder"):
        resolve("https://example.org/model", allow_download=True)


def test_the_matrix_of_the_package_is_that_of_the_page(root: Path) -> None:
    page = runpy.run_path(str(root / "docs" / "make_matrix.py"))["matrix"]()
    inside = (root / "studio" / "capabilities.json").read_text(encoding="utf-8")
    assert inside == page, "run `make docs`"
    for rows in capabilities().values():
        assert set(rows) >= set(CONTROLS)
        assert all(set(row) == set(rows) for row in rows.values())
