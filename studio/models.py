"""Finds models and describes them from their small JSON files; no weights are opened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

from .pipelines.load import EMBEDDED, resolve

__all__ = ["Model", "describe", "find_models"]


@dataclass(frozen=True)
class Model:
    """What is known of a model before it is loaded.

    family:     the diffusers pipeline class.
    image_size: side in pixels it was trained at; None when its files do not say.
    factor:     height and width must be multiples of it.
    nouns:      what it was taught to draw, from its card; empty for a general model.
    """

    name: str
    path: Path
    family: str
    size_bytes: int
    image_size: int | None
    factor: int
    nouns: tuple[str, ...]
    version: str | None
    licence: str | None


def find_models(folders: Iterable[Path] = ()) -> tuple[Model, ...]:
    """The embedded models that are installed, then the diffusers folders in or under `folders`."""
    found = []
    for name in EMBEDDED:
        try:
            found.append(describe(name))
        except ValueError:  # not trained yet
            continue
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"folder: {str(folder)!r} is not a folder; expected one with models")
        indexes = [folder / "model_index.json", *sorted(folder.glob("*/model_index.json"))]
        found.extend(describe(index.parent) for index in indexes if index.is_file())
    return tuple(found)


def describe(model: str | Path) -> Model:
    """The model that `model` names: "emoji-sd" or a diffusers folder."""
    path = resolve(model)
    index = _json(path / "model_index.json")
    vae = _json(path / "vae" / "config.json")
    unet, transformer = (_json(path / part / "config.json") for part in ("unet", "transformer"))
    card = _json(path / "card.json")
    vae_factor = 2 ** (len(vae.get("block_out_channels", [0] * 4)) - 1)
    sample = (unet or transformer).get("sample_size")
    patch = 2 if transformer else 1  # transformers see 2 x 2 latents as one token
    trained = card.get("image_size", sample * vae_factor if isinstance(sample, int) else None)
    return Model(
        name=str(card.get("name", path.name)),
        path=path,
        family=str(index.get("_class_name", "unknown")),
        size_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        image_size=trained,
        factor=lcm(
            8, vae_factor * patch
        ),  # stock pipelines ask for 8, whatever the autoencoder's factor
        nouns=tuple(card.get("nouns", ())),
        version=card.get("version"),
        licence=card.get("licence"),
    )


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
