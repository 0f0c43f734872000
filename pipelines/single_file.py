"""A whole model in one .safetensors file, as Stable Diffusion's authors and most trainers save it.

The file holds weights only. The settings come from a diffusers folder beside it: the one with the
file's own name, or any of the same kind. Left to itself diffusers would fetch them from the network
even with local_files_only, so it is never asked without such a folder unless a download is allowed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import check_weights, tensor_names

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

__all__ = ["load_single_file", "settings_beside", "single_file_class"]

_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("StableDiffusionXLPipeline", ("conditioner.embedders.1.",)),
    ("StableDiffusionPipeline", ("cond_stage_model.",)),
)
"""Pipeline classes, and how names of tensors begin that only such a file has."""


def single_file_class(path: Path) -> str:
    """The pipeline class that a file is for; ValueError, in one sentence, when it is none."""
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"model: {path} is a single file; expected one that ends in .safetensors")
    check_weights(path)
    names = tensor_names(path)
    if not any(name.startswith("model.diffusion_model.") for name in names):
        raise ValueError(f"model: {path} holds {_kind_of(names)}; expected a whole model")
    for kind, starts in _KINDS:
        if any(name.startswith(starts) for name in names):
            return kind
    raise ValueError(
        f"model: {path} holds no text encoder of Stable Diffusion 1.x, 2.x or XL; expected a whole "
        "model of one of these"
    )


def settings_beside(path: Path) -> Path | None:
    """The diffusers folder that has the settings for a single file; None when there is none."""
    kind = single_file_class(path)
    for folder in (path.with_suffix(""), *sorted(path.parent.iterdir())):
        try:
            index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(index, dict) and index.get("_class_name") == kind:
            return folder
    return None


def load_single_file(path: Path, dtype: torch.dtype, *, allow_download: bool) -> DiffusionPipeline:
    """The stock pipeline of a single file."""
    import diffusers

    kind = single_file_class(path)
    settings = settings_beside(path)
    if settings is None and not allow_download:
        raise ValueError(
            f"model: {path} holds weights only, and no folder beside it has their settings; put a "
            f"diffusers folder of a {kind} there (its weights are not needed), or allow a download"
        )
    given: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": not allow_download}
    if settings is not None:
        given["config"] = str(settings)
    if kind == "StableDiffusionPipeline":
        given |= {"safety_checker": None, "feature_extractor": None}
    try:
        return getattr(diffusers, kind).from_single_file(str(path), **given)
    except (KeyError, RuntimeError, AttributeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise ValueError(
            f"model: {path} does not fit the settings of {settings or kind}: {said}"
        ) from error


def _kind_of(names: Iterable[str]) -> str:
    kinds = (
        ("a LoRA", ("lora_", "unet.down_blocks", "text_encoder.text_model")),
        ("one part of a diffusers folder", ("down_blocks.", "decoder.", "encoder.", "text_model.")),
        ("a transformer model without its autoencoder", ("double_blocks.", "joint_blocks.")),
    )
    every = tuple(names)
    for kind, starts in kinds:
        if any(name.startswith(starts) for name in every):
            return kind
    return "no image model that is known here"
