"""load(): local folders only, and each kind of broken folder explained in one sentence."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch

from attention_studio import load
from attention_studio.models import describe, find_models
from attention_studio.pipelines.load import EMBEDDED

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_sd: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_sd, tmp_path / "model"))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_local_folder_loads_offline_in_float32(tiny_sd: Path) -> None:
    pipe = load(tiny_sd)
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.safety_checker is None
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        assert {p.dtype for p in part.parameters()} == {torch.float32}
    images = pipe("a cat", num_inference_steps=2, height=32, width=32).images
    assert images[0].size == (32, 32)


def test_dtype_is_obeyed(tiny_sd: Path) -> None:
    assert load(str(tiny_sd), dtype=torch.bfloat16).unet.dtype is torch.bfloat16


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["runwayml/stable-diffusion-v1-5", "no-such-model", ""])
def test_a_hub_id_is_refused_without_asking_the_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="model:") as error:
        load(name)
    said = str(error.value)
    assert all(repr(known) in said for known in EMBEDDED) or "model_index" in said


def test_a_part_of_a_model_is_no_model(copy: Path) -> None:
    with pytest.raises(ValueError, match="holds one part of a diffusers folder; expected a whole"):
        load(copy / UNET)
    (copy / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"no folder and no \.safetensors file"):
        load(copy / "notes.txt")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LFS, "git-LFS pointer"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"", "0 bytes"),
        (b"PK\x03\x04" + b"\0" * 100, "whatever its name says"),
        (b"\x80\x02}q\x00." + b"\0" * 100, "whatever its name says"),
        ((2).to_bytes(8, "little") + b"{]" + b"\0" * 8, "cannot be read"),
        ((900).to_bytes(8, "little") + b'{"a":', "ends within its header"),
        ((4).to_bytes(8, "little") + b'{"a"' + b"\0" * 8, "cannot be read"),
    ],
)
def test_what_is_not_weights_is_named(copy: Path, content: bytes, says: str) -> None:
    (copy / UNET).write_bytes(content)
    with pytest.raises(ValueError, match=says) as error:
        load(copy)
    assert UNET.rsplit("/", 1)[1] in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_weights_are_named(copy: Path) -> None:
    data = (copy / UNET).read_bytes()
    (copy / UNET).write_bytes(data[:-100])
    with pytest.raises(ValueError, match=f"{len(data) - 100} bytes; expected {len(data)}"):
        load(copy)


def test_missing_parts_are_named(copy: Path) -> None:
    shutil.rmtree(copy / "vae")
    with pytest.raises(ValueError, match="lacks the folder 'vae'"):
        load(copy)
    (copy / "model_index.json").unlink()
    with pytest.raises(ValueError, match=r"no model_index\.json"):
        load(copy)


def test_pickled_weights_are_not_read(copy: Path) -> None:
    for path in list(copy.rglob("*.safetensors")):
        path.rename(path.with_suffix(".bin"))
    with pytest.raises(ValueError, match=r"no \.safetensors weights"):
        load(copy)


def test_a_part_without_weights_is_named(copy: Path) -> None:
    (copy / UNET).unlink()
    with pytest.raises(ValueError, match=r"unet holds no \.safetensors weights"):
        load(copy)


@pytest.mark.parametrize("settings", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_broken_settings_are_named(copy: Path, settings: str) -> None:
    (copy / settings).write_text("[]")
    with pytest.raises(ValueError, match=rf"{settings} holds a list; expected a JSON object"):
        load(copy)


def test_an_index_without_parts_is_named(copy: Path) -> None:
    (copy / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ValueError, match="names no parts"):
        load(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"unet": ["os", "system"]},
        {"unet": ["diffusers"]},
        {"_class_name": ["pipeline", "Mine"]},
        {"_class_name": None},
    ],
)
def test_only_stock_classes_are_loaded(copy: Path, change: dict[str, object]) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | change))
    with pytest.raises(ValueError, match="model:"):
        load(copy)


@pytest.mark.parametrize("index", ["{", "[]", '"text"'])
def test_a_broken_index_is_named(copy: Path, index: str) -> None:
    (copy / "model_index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model_index\.json"):
        load(copy)


@pytest.mark.parametrize("name", ["None.py", "unet/my_unet.py"])
def test_code_in_a_model_folder_is_never_run(copy: Path, name: str) -> None:
    (copy / name).write_text("raise SystemExit('code of the model ran')")
    with pytest.raises(ValueError, match="is code"):
        load(copy)


def test_models_are_described_without_opening_weights(copy: Path) -> None:
    (copy / UNET).write_bytes(LFS)
    card = {"name": "mine", "nouns": ["cat"], "image_size": 64, "version": "2", "licence": "CC0"}
    (copy / "card.json").write_text(json.dumps(card))
    model = describe(copy)
    assert (model.name, model.nouns, model.image_size) == ("mine", ("cat",), 64)
    assert (model.family, model.factor) == ("StableDiffusionPipeline", 8)
    assert model in find_models([copy.parent])
    assert model in find_models([copy])


def test_the_size_comes_from_the_configs_without_a_card(tiny_sd: Path) -> None:
    assert describe(tiny_sd).image_size == 32
