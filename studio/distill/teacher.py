"""The pictures that a teacher is copied on, its own or given ones: latents, embeddings on disk.

CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112): the model's own pictures teach better than real
ones. One safetensors file a picture; those that are there are not drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..whole_files import whole
from .settings import Distillation

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Batch", "Images", "Pictures", "draw_pictures"]

Images = Callable[[int, tuple[int, int]], "Image"]
"""The image of a number, (height, width) pixels large; always the same one."""

_EMPTY = "empty.safetensors"


@dataclass(frozen=True, eq=False)
class Batch:
    """latents [B, N, C] as the transformer reads them, context [B, T, D], pooled [B, P]."""

    latents: Tensor
    context: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class Pictures:
    """`count` of them in a folder; size: (height, width) of their latents."""

    folder: Path
    count: int
    size: tuple[int, int]

    def batch(self, numbers: Sequence[int], unprompted: Sequence[bool]) -> Batch:
        """Pictures by their number; where `unprompted` with the embeddings of the empty prompt."""
        found = [load_file(self.folder / _name(i)) for i in numbers]
        empty = load_file(self.folder / _EMPTY) if any(unprompted) else {}
        told = [empty if un else one for one, un in zip(found, unprompted, strict=True)]
        return Batch(
            torch.stack([one["latents"] for one in found]),
            torch.stack([one["context"] for one in told]),
            torch.stack([one["pooled"] for one in told]),
        )

    def all(self, *, empty: bool) -> Batch:
        """Every picture; with `empty` the embeddings of the empty prompt come after theirs."""
        numbers = [*range(self.count), *([0] if empty else [])]
        found = self.batch(numbers, [False] * self.count + [True] * empty)
        return Batch(found.latents[: self.count], found.context, found.pooled)

    @property
    def texts(self) -> int:
        """Text tokens of each."""
        return self._first["context"].shape[0]

    @property
    def nbytes(self) -> int:
        """Of all pictures."""
        return self.count * sum(x.nbytes for x in self._first.values())

    @cached_property
    def _first(self) -> dict[str, Tensor]:
        return load_file(self.folder / _name(0))


def draw_pictures(
    pipe: Any,
    prompts: Sequence[str],
    settings: Distillation,
    folder: Path,
    *,
    images: Images | None = None,
    place: tuple[int, int] = (0, 1),
    anew: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Pictures:
    """Draws what is not there yet, picture i with seed + i.

    Pictures that are drawn together have the noise that each would have alone.

    images: those of the prompts, by number and (height, width); None = the teacher draws them.
    place: (process, processes); each draws its own share.
    anew:  also what is there.
    ValueError where the folder holds pictures that were made otherwise, and for a size that tokens
    or the cells of pooled keys do not fill.
    """
    height, width = settings.size or (pipe.default_sample_size * pipe.vae_scale_factor,) * 2
    unit = 2 * pipe.vae_scale_factor * (settings.pooled or 1)
    if min(height, width) < unit or height % unit or width % unit:
        raise ValueError(
            f"size: came {height} x {width}; expected multiples of {unit} pixels, the side of a "
            f"{'token' if settings.pooled is None else 'cell of pooled keys'}"
        )
    size = (height // pipe.vae_scale_factor, width // pipe.vae_scale_factor)
    folder.mkdir(parents=True, exist_ok=True)
    drawn_with = {"steps": settings.drawn_in, "guidance": settings.guidance}
    stamp = {
        "size": [height, width],
        **(drawn_with if images is None else {"images": "given"}),
        "max_sequence_length": settings.max_sequence_length,
    }
    mine = range(place[0], len(prompts), place[1])
    told = {i: {**stamp, "prompt": prompts[i], "seed": settings.seed + i} for i in mine}
    lacking = [i for i in mine if anew or not (folder / _name(i)).is_file()]
    for i in sorted({*mine} - {*lacking}):
        _check(folder / _name(i), told[i])
    done = len(mine) - len(lacking)
    for first in range(0, len(lacking), settings.drawn_batch):
        part = lacking[first : first + settings.drawn_batch]
        texts = [prompts[i] for i in part]
        if images is None:
            drawn = _draw(pipe, texts, settings, (height, width), part)
        else:
            given = [images(i, (height, width)) for i in part]
            drawn = _encoded(pipe, texts, settings, given)
        for i, tensors in zip(part, drawn, strict=True):
            _save(folder / _name(i), tensors, told[i])
        done += len(part)
        if progress is not None:
            progress(done, len(mine))
    if progress is not None and not lacking:
        progress(done, len(mine))
    empty = folder / _EMPTY
    if settings.unprompted and place[0] == 0 and (anew or not empty.is_file()):
        _save(empty, _told(pipe, [""], settings)[0], {})
    return Pictures(folder, len(prompts), size)


def _draw(
    pipe: Any,
    prompts: list[str],
    settings: Distillation,
    size: tuple[int, int],
    numbers: Sequence[int],
) -> list[dict[str, Tensor]]:
    told = _told(pipe, prompts, settings)
    latents = pipe(
        prompts,
        height=size[0],
        width=size[1],
        generator=[torch.Generator("cpu").manual_seed(settings.seed + i) for i in numbers],
        output_type="latent",
        **settings.call(pipe, len(prompts)),
    ).images
    return [{"latents": one, **texts} for one, texts in zip(latents, told, strict=True)]


def _encoded(
    pipe: Any, prompts: list[str], settings: Distillation, images: Sequence[Image]
) -> list[dict[str, Tensor]]:
    vae = pipe.vae
    pixels = pipe.image_processor.preprocess(list(images)).to(vae.device, vae.dtype)
    with torch.no_grad():
        found = vae.encode(pixels).latent_dist.mode()
    clean = (found - vae.config.shift_factor) * vae.config.scaling_factor
    latents = pipe._pack_latents(clean, *clean.shape)
    told = _told(pipe, prompts, settings)
    return [{"latents": one, **texts} for one, texts in zip(latents, told, strict=True)]


def _told(pipe: Any, prompts: list[str], settings: Distillation) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        context, pooled, _ = pipe.encode_prompt(prompts, None, **settings.length)
    pairs = zip(context, pooled, strict=True)
    return [{"context": one, "pooled": two} for one, two in pairs]


def _name(number: int) -> str:
    return f"{number:06d}.safetensors"


def _save(path: Path, tensors: dict[str, Tensor], told: dict[str, Any]) -> None:
    on_cpu = {name: x.detach().cpu().contiguous() for name, x in tensors.items()}
    with whole(path) as part:
        save_file(on_cpu, part, metadata={"made": json.dumps(told)})


def _check(path: Path, told: dict[str, Any]) -> None:
    with safe_open(path, "pt") as file:
        made = json.loads((file.metadata() or {}).get("made", "null"))
    if made != told:
        raise ValueError(
            f"pictures: {path} was made as {made}, and {told} is asked for; expected a folder of "
            "its own for each set of prompts and settings"
        )
