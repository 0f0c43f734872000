"""Loads a stock diffusers pipeline: an embedded model by its name, any other by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoint import check_fit, check_folder
from .download import download
from .fill import DIFFERENCE, base_of, load_fill
from .single_file import load_single_file

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

__all__ = ["EMBEDDED", "FILLING", "load", "resolve"]

EMBEDDED: tuple[str, ...] = ("emoji-sd", "emoji-flux")
"""Models that are part of the package."""
FILLING: tuple[str, ...] = ("emoji-flux-fill",)
"""Those that fill holes in pictures; they have a prompt and a picture, and no page of the app."""

_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


def resolve(
    model: str | Path, folders: Sequence[Path] = (), *, allow_download: bool = False
) -> Path:
    """The folder, or single .safetensors file, that `model` names; ValueError when there is none.

    folders:        where a mere name is looked for too.
    allow_download: a name that is nowhere is taken for a model of the Hugging Face hub.
    """
    if model in (*EMBEDDED, *FILLING):
        folder = _weights() / str(model)
        if not folder.is_dir():
            raise ValueError(
                f"model: {str(model)!r} has no trained weights in this installation; "
                f"`attention-studio train {model}` makes a folder to name instead"
            )
        return folder
    name = Path(model).expanduser()
    if name.exists():
        if name.is_dir() or name.suffix.lower() == ".safetensors":
            return name
        raise ValueError(f"model: {str(model)!r} is no folder and no .safetensors file")
    if str(model) and not name.is_absolute() and ".." not in name.parts:
        for folder in folders:
            for found in (folder / name, folder / f"{name}.safetensors"):
                if found.is_dir() or (found.is_file() and found.suffix == ".safetensors"):
                    return found
    if allow_download and _HUB_ID.fullmatch(str(model)):
        return download(str(model))
    raise ValueError(
        f"model: {str(model)!r} is no such folder; "
        f"expected {' or '.join(map(repr, EMBEDDED))}, the path of a diffusers folder or of a "
        ".safetensors file, or, when a download is allowed, a model of the hub"
    )


def load(
    model: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    allow_download: bool = False,
) -> DiffusionPipeline:
    """The stock pipeline of `model`, ready to call; what is broken is explained in one sentence.

    dtype:  None = bfloat16 on a CUDA device, else float32.
    device: None = the CPU.
    allow_download: else nothing is ever fetched.
    """
    path = resolve(model, allow_download=allow_download)
    if (path / DIFFERENCE).is_file():
        base = resolve(base_of(path))
        if (base / DIFFERENCE).is_file():
            raise ValueError(f"model: {path} is a difference to {base}, which is one itself")
        return load_fill(path, load(base, dtype=dtype, device=device))
    if path.is_dir():
        check_folder(path)

    import torch
    from diffusers import DiffusionPipeline

    place = torch.device(device or "cpu")
    if dtype is None:
        dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    with _without_bars():
        if path.is_dir():
            try:
                pipe = DiffusionPipeline.from_pretrained(
                    path, dtype=dtype, local_files_only=True, use_safetensors=True
                )
            except _BROKEN as error:
                said = " ".join(str(error).split())[:300]
                if "memory" in said:
                    raise
                raise ValueError(f"model: {path} does not load: {said}") from error
            check_fit(path, pipe.components)
        else:
            pipe = load_single_file(path, dtype, allow_download=allow_download)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(place)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Local files load in a moment; the two libraries' progress bars would only be noise."""
    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    shown = [lib for lib in (of_diffusers, of_transformers) if lib.is_progress_bar_enabled()]
    for lib in shown:
        lib.disable_progress_bar()
    try:
        yield
    finally:
        for lib in shown:
            lib.enable_progress_bar()


def _weights() -> Path:
    """The package's folder of weights, found without importing the package that holds it."""
    spec = find_spec("attention_studio.emoji")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("model: this installation lacks attention_studio.emoji")
    return Path(spec.submodule_search_locations[0]).resolve() / "weights"
