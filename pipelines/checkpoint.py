"""What is wrong with a diffusers folder, said in one sentence before any library opens it.

A safetensors file is an unsigned 64-bit little-endian length, a JSON header of that length, then
the tensors' bytes; the header gives each tensor's `data_offsets` within them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

__all__ = ["check_fit", "check_folder", "check_weights", "tensor_names"]

MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def check_folder(folder: Path) -> None:
    """Raise ValueError unless `folder` is a whole pipeline of stock components, free of code."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(
            f"model: {folder} has no model_index.json; expected a diffusers pipeline folder"
        )
    entries = _read_json(index)
    if not isinstance(entries.get("_class_name"), str):
        raise ValueError(f"model: {index} names no stock pipeline; expected a _class_name string")
    for path in folder.rglob("*.py"):  # the loader would run some of these, even unasked
        raise ValueError(f"model: {path} is code; expected a folder of weights and settings only")
    parts = []
    for name, entry in entries.items():
        if name.startswith("_") or not isinstance(entry, list) or entry[:1] == [None]:
            continue  # a setting, or a component that this pipeline does without
        if len(entry) != 2 or not _is_stock(entry[0]):
            raise ValueError(
                f"model: {index} takes {name!r} from {entry!r}; "
                "expected a class of diffusers or transformers"
            )
        if not (folder / name).is_dir():
            raise ValueError(f"model: {folder} lacks the folder {name!r} named in model_index.json")
        parts.append(folder / name)
    if not parts:
        raise ValueError(f"model: {index} names no parts; expected those of a whole pipeline")
    for part in parts:
        for settings in part.glob("*config.json"):
            _read_json(settings)
        if (part / "config.json").is_file() and not any(part.glob("*.safetensors")):
            raise ValueError(f"model: {part} holds no .safetensors weights; expected at least one")
    weights = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".safetensors")
    if not weights:
        raise ValueError(f"model: {folder} holds no .safetensors weights; expected at least one")
    for path in weights:
        check_weights(path)


def check_weights(path: Path) -> None:
    """Raise ValueError unless `path` is a whole safetensors file; only its header is read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
        if start.startswith(b"version https://git-lfs"):
            raise ValueError(f"model: {path} is a git-LFS pointer, not weights; run `git lfs pull`")
        if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            raise ValueError(f"model: {path} is a web page, not weights; download the file again")
        if len(start) < 10:
            raise ValueError(f"model: {path} has {size} bytes; expected a safetensors file")
        (length,) = struct.unpack("<Q", start[:8])
        if start[8:9] != b"{" or length > MAX_HEADER_BYTES:
            raise ValueError(f"model: {path} is not a safetensors file, whatever its name says")
        file.seek(8)
        header = file.read(length)
    if len(header) < length:
        raise ValueError(f"model: {path} ends within its header; download the file again")
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        odd = next((name for name, entry in tensors.items() if not _is_whole(entry)), None)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise ValueError(f"model: {path} has a safetensors header that cannot be read") from None
    if odd is not None:
        raise ValueError(
            f"model: {path} says of {odd!r:.80} that it is {tensors[odd]['dtype']!r:.20} of shape "
            f"{tensors[odd]['shape']!r:.80}, which does not fit its bytes; it is damaged"
        )
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise ValueError(
            f"model: {path} has {size} bytes; expected {expected}: it is cut short or damaged"
        )


def check_fit(folder: Path, components: Mapping[str, Any]) -> None:
    """Raise ValueError where the weights that were loaded are those of something else.

    The libraries only warn of it, and leave out or make up what they do not find.
    """
    for name, component in components.items():
        wanted = {_end(key) for key in component.state_dict()} if _has_weights(component) else set()
        files = (folder / name).glob("*.safetensors")
        given = {_end(key) for file in files for key in tensor_names(file)}
        known = len(wanted & given)
        lacking = [key for key, value in _parameters(component) if value.is_meta]
        if lacking or (wanted and 2 * known < len(wanted)):
            example = lacking[0] if lacking else sorted(wanted - given)[0]
            raise ValueError(
                f"model: the weights in {folder / name} are not those of a "
                f"{type(component).__name__}: {example!r:.80} is not among them"
            )


def tensor_names(path: Path) -> tuple[str, ...]:
    """Names of the tensors of a file that `check_weights` found whole."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return tuple(name for name in json.loads(file.read(length)) if name != "__metadata__")


def _is_whole(entry: dict[str, Any]) -> bool:
    """Whether a tensor of such type and shape has so many bytes."""
    bits = _BITS.get(entry["dtype"])
    start, end = entry["data_offsets"]
    return bits is not None and 8 * (end - start) == bits * prod(entry["shape"])


def _has_weights(component: Any) -> bool:
    return hasattr(component, "state_dict") and hasattr(component, "named_parameters")


def _parameters(component: Any) -> Iterable[tuple[str, Any]]:
    return component.named_parameters() if _has_weights(component) else ()


def _end(name: str) -> str:
    """The last two parts; versions of a library differ in the first ones."""
    return ".".join(name.split(".")[-2:])


def _is_stock(library: Any) -> bool:
    """Whether `library` is diffusers, transformers or a pipeline folder of diffusers."""
    if library in ("diffusers", "transformers"):
        return True
    spec = find_spec("diffusers")
    if not (isinstance(library, str) and library.isidentifier() and spec and spec.origin):
        return False
    return (Path(spec.origin).parent / "pipelines" / library).is_dir()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"model: {path} is not valid JSON; expected an object") from None
    if not isinstance(value, dict):
        raise ValueError(f"model: {path} holds a {type(value).__name__}; expected a JSON object")
    return value
