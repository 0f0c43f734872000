"""Finds models and describes them from their small JSON files; no weights are opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

from .pipelines.load import EMBEDDED, resolve
from .pipelines.single_file import settings_beside, single_file_class
from .recipe import Recipe

__all__ = ["Model", "describe", "find_models"]

_BASES = {  # pipelines whose denoiser takes local windows: whether it has a base for ntk too
    "FluxPipeline": True,
    "StableDiffusion3Pipeline": False,
    "QwenImagePipeline": False,
}


@dataclass(frozen=True)
class Model:
    """What is known of a model before it is loaded.

    family:     the diffusers pipeline class.
    image_size: side in pixels it was trained at; None when its files do not say.
    factor:     height and width must be multiples of it.
    vae_factor: pixels a latent stands for, on each side.
    channels, vae_channels: of the denoiser's and the autoencoder's widest level at full size.
    nouns:      what it was taught to draw, from its card; empty for a general model.
    """

    name: str
    path: Path
    family: str
    size_bytes: int
    image_size: int | None
    factor: int
    vae_factor: int
    channels: int
    vae_channels: int
    nouns: tuple[str, ...]
    version: str | None
    licence: str | None

    @property
    def has_windows(self) -> bool:
        """Whether its attention takes local windows."""
        return self.joint

    @property
    def joint(self) -> bool:
        """Whether text and picture are read together, as by FLUX, SD 3 and Qwen-Image."""
        return self.family in _BASES

    @property
    def has_base(self) -> bool:
        """Whether its rotary positions have a base that `ntk` multiplies."""
        return _BASES.get(self.family, False)

    @property
    def fills(self) -> bool:
        """Whether it draws into a picture's hole, and nothing from words alone."""
        return "Fill" in self.family or "Inpaint" in self.family

    @property
    def token_px(self) -> int:
        """Pixels of a transformer's token, on each side; steps up are in multiples of it."""
        return 2 * self.vae_factor

    def with_size(self, recipe: Recipe) -> Recipe:
        """The recipe with its size filled in; ValueError for one that the model cannot draw."""
        if self.fills:
            raise ValueError(
                f"model: {self.name} is a {self.family}, which fills a hole in a picture; expected "
                "one that draws from words (in Python, `load` gives it)"
            )
        size = recipe.size or ((self.image_size or 512),) * 2
        for name, side in zip(("height", "width"), size, strict=True):
            if side % self.factor:
                raise ValueError(
                    f"{name}: {side} came; {self.name} expects a multiple of {self.factor}"
                )
        return recipe.model_copy(update={"size": size})


def find_models(folders: Iterable[Path] = ()) -> tuple[Model, ...]:
    """The embedded models that are installed, then what lies in `folders`.

    That is each folder itself or the diffusers folders right in it, and its .safetensors files that
    hold a whole model.
    """
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
        for file in sorted(folder.glob("*.safetensors")):
            try:
                found.append(describe(file))
            except ValueError:  # a LoRA, an autoencoder, something broken
                continue
    return tuple(found)


def describe(
    model: str | Path, folders: Sequence[Path] = (), *, allow_download: bool = False
) -> Model:
    """The model that `model` names: an embedded one, a diffusers folder, or a single file."""
    path = resolve(model, folders, allow_download=allow_download)
    single = path.is_file()
    home = (settings_beside(path) or path) if single else path
    index = _json(home / "model_index.json")
    vae = _json(home / "vae" / "config.json")
    unet, transformer = (_json(home / part / "config.json") for part in ("unet", "transformer"))
    card = {} if single else _json(path / "card.json")
    widths = vae.get("block_out_channels") or [128] * 4
    vae_factor = 2 ** (len(widths) - 1)
    sample = (unet or transformer).get("sample_size")
    patch = 2 if transformer else 1  # transformers see 2 x 2 latents as one token
    said = sample * vae_factor if isinstance(sample, int) else vae.get("sample_size")
    trained = card.get("image_size", said if isinstance(said, int) else None)
    files = [path] if single else [file for file in path.rglob("*") if file.is_file()]
    return Model(
        name=str(card.get("name", path.stem if single else path.name)),
        path=path,
        family=single_file_class(path) if single else str(index.get("_class_name", "unknown")),
        size_bytes=sum(file.stat().st_size for file in files),
        image_size=trained,
        factor=lcm(
            8, vae_factor * patch
        ),  # stock pipelines ask for 8, whatever the autoencoder's factor
        vae_factor=vae_factor,
        channels=_width(unet, transformer),
        vae_channels=int(widths[0]),
        nouns=tuple(card.get("nouns", ())),
        version=card.get("version"),
        licence=card.get("licence"),
    )


def _width(unet: dict[str, Any], transformer: dict[str, Any]) -> int:
    if transformer:
        heads = transformer.get("num_attention_heads", 24)
        return int(heads) * int(transformer.get("attention_head_dim", 64))
    return int((unet.get("block_out_channels") or [320])[0])


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
