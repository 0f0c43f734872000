"""Weights that were trained with local windows, in the layout in which CLEAR's are published.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112). One safetensors file: the image stream's queries,
keys, values and outputs under the transformer's own names, such as
`transformer_blocks.0.attn.to_q.weight`, and of the variant with pooled keys the weights of a cell,
`….attn.processor.spatial_weight`, f² numbers a block.
ours: what the file was trained for, as metadata; the published files do not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoint import check_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..processors.controls.local_window import LocalWindow

__all__ = ["load_clear", "save_clear", "trained_parts"]

_POOLED = ".processor.spatial_weight"
_PARTS = ("to_q", "to_k", "to_v", "to_out")


@dataclass(frozen=True, eq=False)
class _Found:
    """What a file holds: tensors of the transformer, cells of each site, and its metadata."""

    tensors: Mapping[str, Tensor]
    cells: Mapping[str, Tensor]
    said: Mapping[str, str]


def load_clear(pipe: Any, path: Path, *, radius: float | None = None) -> LocalWindow:
    """Puts the weights into `pipe.transformer` and returns the window that they were trained for.

    Attach that window for every run: with full attention these weights draw worse than their own.
    The old ones are gone until the pipeline is loaded anew. Nothing is changed where the file does
    not fit.

    radius: in tokens; needed where the file does not say it (`clear_local_8_down_4` is for 8).

    ValueError naming what the file lacks, what it has too much, or what has another shape.
    """
    import torch

    from ..processors.controls.local_window import LocalWindow

    check_weights(path)
    modules, found = _attentions(pipe), _read(path)
    wanted = {
        f"{name}.{part}": value
        for name, module in modules.items()
        for part, value in trained_parts(module).items()
    }
    known = dict(pipe.transformer.named_parameters())
    lacking = sorted(wanted.keys() - found.tensors.keys())
    if lacking:
        raise ValueError(
            f"path: {path} lacks {len(lacking)} of {len(wanted)} tensors that CLEAR trains, such "
            f"as {lacking[0]!r}; expected weights of a {type(pipe.transformer).__name__} of this "
            "size"
        )
    odd = sorted(found.tensors.keys() - known.keys()) + sorted(found.cells.keys() - modules.keys())
    if odd:
        raise ValueError(
            f"path: {path} has {len(odd)} tensors that the transformer does not know, such as "
            f"{odd[0]!r}; expected names of its own parameters"
        )
    for name, tensor in found.tensors.items():
        if tensor.shape != known[name].shape:
            raise ValueError(
                f"path: {path} has {name!r} of shape {list(tensor.shape)}; the transformer's has "
                f"{list(known[name].shape)}"
            )
    side = _side(path, found.cells, len(modules))
    late = _number(path, found.said, "late")
    window = LocalWindow(_radius(path, found.said, radius), side, dict(found.cells), late=late)
    with torch.no_grad():
        for name, tensor in found.tensors.items():
            known[name].copy_(tensor)
    return window


def save_clear(
    transformer: Any, modules: Mapping[str, nn.Module], window: LocalWindow, path: Path
) -> None:
    """Writes what `load_clear` reads: parts of these attention modules, by name, and the window's
    cells."""
    from safetensors.torch import save_file

    known = dict(transformer.named_parameters())
    names = [f"{name}.{part}" for name, module in modules.items() for part in trained_parts(module)]
    tensors = {name: known[name].detach().to("cpu").contiguous() for name in names}
    for name, weight in window.weights.items():
        tensors[name + _POOLED] = weight.detach().to("cpu").contiguous()
    said = {"radius": repr(window.radius)}
    if window.late is not None:
        said["late"] = repr(window.late)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=said)
    part.replace(path)


def trained_parts(module: nn.Module) -> dict[str, nn.Parameter]:
    """What CLEAR trains of an attention module: the image stream's projections, in and out."""
    return {
        name: value for name, value in module.named_parameters() if name.split(".")[0] in _PARTS
    }


def _attentions(pipe: Any) -> dict[str, nn.Module]:
    """Attention modules with image and text, by name; ValueError for other models."""
    from ..processors.call import Kind
    from ..processors.families import family_of

    family = family_of(pipe)
    sites = family.sites(family.denoiser(pipe))
    found = {site.name: module for module, site in sites if site.kind is Kind.JOINT}
    if not found:
        raise ValueError(
            f"pipe: {type(pipe).__name__} has no joint attention; expected a model of the family "
            "of FLUX, Stable Diffusion 3 or Qwen-Image"
        )
    return found


def _read(path: Path) -> _Found:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        said = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    cells = {
        name.removesuffix(_POOLED): tensors.pop(name)
        for name in list(tensors)
        if name.endswith(_POOLED)
    }
    shaped = {}
    for name, cell in cells.items():
        side = isqrt(cell.numel())
        if side < 2 or side * side != cell.numel():
            raise ValueError(
                f"path: {path} has {cell.numel()} numbers for the cells of {name!r}; expected the "
                "square of a side of 2 or more"
            )
        shaped[name] = cell.float().reshape(side, side)
    return _Found(tensors, shaped, said)


def _side(path: Path, cells: Mapping[str, Tensor], sites: int) -> int | None:
    """f, or None without pooled keys."""
    sides = {len(cell) for cell in cells.values()}
    if cells and (len(sides) > 1 or len(cells) != sites):
        raise ValueError(
            f"path: {path} has cells for {len(cells)} of {sites} attention modules, with sides "
            f"{sorted(sides)}; expected one side, for all of them or none"
        )
    return sides.pop() if sides else None


def _radius(path: Path, said: Mapping[str, str], asked: float | None) -> float:
    known = _number(path, said, "radius")
    radius = asked if known is None else known
    if radius is None:
        raise ValueError(
            f"radius: {path} does not say for which it was trained; expected radius=8, 16 or 32, "
            "as the name of a published file does"
        )
    if asked is not None and asked != radius:
        raise ValueError(f"radius: came {asked:g}, but {path} was trained for {radius:g}")
    return radius


def _number(path: Path, said: Mapping[str, str], name: str) -> float | None:
    try:
        return float(said[name]) if name in said else None
    except ValueError:
        raise ValueError(f"path: {path} says {name} {said[name]!r:.40}") from None
