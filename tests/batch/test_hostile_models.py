"""S1, S6 and R9: models that are none, as rows of a batch name them; nothing is unpickled."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attention_studio import Session
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.run import run_batch

from ..studio.conftest import call
from .rows import MakeBatch, write_manifest

UNET = "unet/diffusion_pytorch_model.safetensors"
_heard: list[str] = []
_listening: list[tuple[str, ...]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _listening and event in _listening[-1]:
        _heard.append(f"{event} {args!r:.200}")


sys.addaudithook(_hook)  # cannot be taken away again; it listens when it is told to


@contextmanager
def _hearing(*events: str) -> Iterator[list[str]]:
    _heard.clear()
    _listening.append(events)
    try:
        yield _heard
    finally:
        _listening.pop()


def _pickle(protocol: int, made: Path) -> bytes:
    """Unpickled, it makes a folder."""
    start = b"" if protocol < 2 else bytes((0x80, protocol))
    return start + b"cos\nmkdir\n(V" + str(made).encode() + b"\ntR."


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3")
    return buffer.getvalue()


def _tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo("pickle")
        info.size = len(data)
        file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _safetensors(header: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + rest


def _files(made: Path) -> dict[str, bytes]:
    """What a model could be said to be, by the file's name."""
    dumped = {protocol: _pickle(protocol, made) for protocol in range(6)}
    whole = dumped[4]
    return {
        **{f"protocol-{n}.safetensors": data for n, data in dumped.items()},
        "UPPER.SAFETENSORS": whole,
        "zip.safetensors": _zipped(whole),
        "tar.safetensors": _tarred(whole),
        "ckpt.ckpt": _zipped(whole),
        "pt.pt": dumped[2],
        "pth.pth": _zipped(dumped[2]),
        "bin.bin": whole,
        "pkl.PKL": whole,
        "png.safetensors": b"\x89PNG\r\n\x1a\n" + whole,
        "header-is-a-pickle.safetensors": _safetensors(whole),
        "pickle-behind-a-header.safetensors": _safetensors(b"{}", whole),
        "zip-behind-a-header.safetensors": _safetensors(b"{}", _zipped(whole)),
        "metadata.safetensors": _safetensors(
            json.dumps({"__metadata__": {"format": "pickle", "code": whole.hex()}}).encode()
        ),
    }


def _folders(tiny_sd: Path, home: Path, whole: bytes) -> Iterator[Path]:
    """Whole models, one part of which is a pickle by another name."""
    for name in ("pytorch_model.bin", "model.ckpt", "diffusion_pytorch_model.bin"):
        folder = Path(shutil.copytree(tiny_sd, home / f"folder-{name}"))
        (folder / UNET).unlink()
        (folder / "unet" / name).write_bytes(whole)
        yield folder
    folder = Path(shutil.copytree(tiny_sd, home / "folder-disguised"))
    (folder / UNET).write_bytes(whole)
    yield folder


def test_nothing_is_unpickled(
    make_batch: MakeBatch, warm: Session, tmp_path: Path, tiny_sd: Path
) -> None:
    """S1: 23 disguises; a row of each is refused or fails, and others are drawn."""
    made = tmp_path / "hacked"
    models = []
    for name, data in _files(made).items():
        models.append(tmp_path / "models" / name)
        models[-1].parent.mkdir(exist_ok=True)
        models[-1].write_bytes(data)
    models += _folders(tiny_sd, tmp_path / "models", _pickle(4, made))
    assert len(models) == 23
    rows = [{"id": path.name, "prompt": "a cat", "model": str(path)} for path in models]
    with _hearing("pickle.find_class") as heard:
        found = run_batch(make_batch([*rows, {"id": "good", "prompt": "a cat"}]), session=warm)
    assert heard == []
    assert not made.exists()
    assert found.counts.done == 1
    assert found.counts.failed + found.counts.refused == len(models)
    warm.warm(str(tiny_sd))


@pytest.mark.parametrize("protocol", range(6))
def test_the_corpus_is_alive(tmp_path: Path, protocol: int) -> None:
    """Its pickles do what they say where one reads them, and the hook hears."""
    made, file = tmp_path / "hacked", tmp_path / "file"
    file.write_bytes(_pickle(protocol, made))
    subprocess.run([sys.executable, "-m", "pickle", str(file)], check=True, capture_output=True)
    assert made.is_dir()
    with _hearing("pickle.find_class") as heard:
        sys.audit("pickle.find_class", "os", "mkdir")
    assert len(heard) == 1


def _other_family(model: Path) -> None:
    index = json.loads((model / "model_index.json").read_text())
    index["_class_name"] = "FluxPipeline"
    (model / "model_index.json").write_text(json.dumps(index))


def _other_parts(model: Path) -> None:
    """The autoencoder's weights in the denoiser's place."""
    shutil.copy(model / "vae" / "diffusion_pytorch_model.safetensors", model / UNET)


def _other_dtype(model: Path) -> None:
    data = (model / UNET).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].replace(b'"BF16"', b'"B_16"')
    (model / UNET).write_bytes(data[:8] + header + data[8 + length :])


def _other_text_encoder(model: Path) -> None:
    weights = model / "vae" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, model / "text_encoder" / "model.safetensors")


def _other_shapes(model: Path) -> None:
    config = model / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 64}))


def _hidden_damage(model: Path) -> None:
    """The header's sizes are those of other shapes, though the file is as long as it says."""
    data = (model / UNET).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")
    header[name]["shape"] = [7, 7]
    text = json.dumps(header).encode()
    (model / UNET).write_bytes(_safetensors(text, data[8 + length :]))


def _cut_short(model: Path) -> None:
    (model / UNET).write_bytes((model / UNET).read_bytes()[:-100])


def _cut_in_the_header(model: Path) -> None:
    (model / UNET).write_bytes((model / UNET).read_bytes()[:100])


def _pointer(model: Path) -> None:
    (model / UNET).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")


def _page(model: Path) -> None:
    (model / UNET).write_bytes(b"<!doctype html><title>404</title>")


BROKEN = (
    *(_other_family, _other_parts, _other_text_encoder, _other_shapes, _other_dtype),
    _hidden_damage,
    *(_cut_short, _cut_in_the_header, _pointer, _page),
)


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
def test_a_broken_checkpoint_is_explained_at_once(
    make_batch: MakeBatch, tmp_path: Path, tiny_sd: Path, breaks: Callable[[Path], None]
) -> None:
    """R9: one sentence that names the model, in less than two seconds."""
    model = Path(shutil.copytree(tiny_sd, tmp_path / "broken"))
    breaks(model)
    session = Session(str(tiny_sd))
    batch = make_batch([{"id": "bad", "prompt": "a cat", "model": str(model)}])
    run_batch(batch, stop=lambda: True)  # plans
    start = time.process_time()
    found = run_batch(batch, session=session)
    assert time.process_time() - start < 2
    assert (found.counts.done, found.counts.failed) == (0, 1)
    (item,) = BatchJournal(batch.out).items(state="failed")
    assert item.error is not None and "\n" not in item.error
    assert item.error.startswith("model: ") and "broken" in item.error, item.error


NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def test_nothing_goes_out_from_load_to_batch(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6: loading, generating, editing and a batch, heard by the interpreter itself."""
    monkeypatch.chdir(tmp_path)
    manifest = write_manifest(tmp_path / "m.jsonl", [{"prompt": "a cat", "to": "a dog"}])
    common = ("--model", tiny_sd, "--steps", 1)
    with _hearing(*NETWORK) as heard:
        for args in (
            ("generate", "--prompt", "a cat"),
            ("edit", "--prompt", "a cat on grass", "--to", "a dog on grass"),
            ("batch", manifest, "--min-free", 0),
        ):
            done = call(*args, *common, "--out", tmp_path / args[0])
            assert done.exit_code == 0, done.output
    assert heard == []
