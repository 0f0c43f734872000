"""Loads a stock diffusers pipeline: the embedded model by its name, any other by its folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoint import check_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

__all__ = ["EMBEDDED", "load", "resolve"]

EMBEDDED: tuple[str, ...] = ("emoji-sd",)
"""Models that are part of the package."""


def resolve(model: str | Path) -> Path:
    """The folder that `model` names; ValueError when there is none. Nothing is ever downloaded."""
    if model in EMBEDDED:
        folder = _weights() / str(model)
        if not folder.is_dir():
            raise ValueError(
                f"model: {str(model)!r} has no trained weights in this installation; "
                f"`attention-studio train {model}` makes a folder to name instead"
            )
        return folder
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    came = "a single file" if folder.is_file() else "no such folder"
    raise ValueError(
        f"model: {str(model)!r} is {came}; "
        f"expected {' or '.join(map(repr, EMBEDDED))} or the path of a diffusers folder"
    )


def load(
    model: str | Path, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
) -> DiffusionPipeline:
    """The stock pipeline of `model`, ready to call; what is broken is explained in one sentence.

    dtype:  None = bfloat16 on a CUDA device, else float32.
    device: None = the CPU.
    """
    folder = resolve(model)
    check_folder(folder)

    import torch
    from diffusers import DiffusionPipeline

    place = torch.device(device or "cpu")
    if dtype is None:
        dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    with _without_bars():
        pipe = DiffusionPipeline.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
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
