"""Large pictures by way of small ones: drawn at the trained size, enlarged, drawn over.

SDEdit, Meng et al. 2021 (arXiv:2108.01073), as CLEAR, Liu, Tan and Wang 2024 (arXiv:2412.16112)
uses it from 1K to 2K and 4K: each picture is resized, noised to `strength` and denoised at its new
size, there with local windows. The authors' settings: strength 0.7, 20 steps, a proportional scale,
ntk 10, no dynamic shift of the noise levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .calls import guidance_arguments, length_arguments

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..processors.control import Control

__all__ = ["Finer", "draw_finer", "redraw"]


@dataclass(frozen=True, eq=False)
class Finer:
    """One step up.

    size:     (height, width) in pixels, of the proportions of the picture before.
    strength: part of the denoising that is done again; 1 would forget the picture.
    controls: that steer it, such as `LocalWindow(16, scale="proportional", ntk=10)`.
    tiled:    whether the autoencoder works tile by tile, as large pictures need it.
    """

    size: tuple[int, int]
    strength: float = 0.7
    controls: Sequence[Control] = field(default=())
    tiled: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength: came {self.strength}; expected a part in (0, 1]")


def draw_finer(
    pipe: Any,
    prompt: str,
    size: tuple[int, int],
    finer: Sequence[Finer],
    *,
    controls: Sequence[Control] = (),
    seed: int = 0,
    steps: int = 28,
    finer_steps: int = 20,
    negative: str | None = None,
    guidance: float = 3.5,
    max_sequence_length: int | None = None,
) -> tuple[Image, ...]:
    """The picture at each size, the first drawn by `pipe` under `controls`.

    pipe: of Stable Diffusion (XL, 3), FLUX.1 or Qwen-Image.
    negative, guidance: where `negative` comes, of guidance by it; else what a distilled FLUX reads,
          and for the others guidance by the empty prompt.
    """
    import torch

    from ..processors.attach import attach

    asked = _call(pipe, prompt, negative, guidance, max_sequence_length)
    generator = torch.Generator("cpu").manual_seed(seed)
    height, width = size
    with attach(pipe, controls):
        given = {"height": height, "width": width, "num_inference_steps": steps}
        images = [pipe(**asked, **given, generator=generator).images[0]]
    for number, step in enumerate(finer, 1):
        noise = torch.Generator("cpu").manual_seed(seed + number)
        more = {**asked, "num_inference_steps": finer_steps, "generator": noise}
        images.append(redraw(pipe, images[-1], step, more))
    return tuple(images)


def redraw(pipe: Any, image: Image, step: Finer, asked: dict[str, Any]) -> Image:
    """One step up of a picture; asked: how the pipeline is called, but for picture and size.

    ValueError for a size of other proportions, or one that is no multiple of the model's tokens,
    and for a strength that leaves no step.
    """
    from PIL.Image import Resampling

    from ..processors.attach import attach

    (height, width), before = step.size, image.size
    unit = 2 * pipe.vae_scale_factor
    if height % unit or width % unit:
        raise ValueError(f"size: came {height} x {width}; expected multiples of {unit} pixels")
    if abs(height * before[0] - width * before[1]) > max(height, width) * unit:
        raise ValueError(
            f"size: came {height} x {width} for a picture of {before[1]} x {before[0]}; expected "
            "the same proportions"
        )
    steps = asked["num_inference_steps"]
    if int(steps * step.strength) < 1:
        raise ValueError(
            f"strength: came {step.strength:g} of {steps} steps, which leaves none; expected more"
        )
    large = image.resize((width, height), Resampling.LANCZOS)
    over = _image_to_image(pipe)
    with _tiled(pipe, step.tiled), attach(over, step.controls):
        sized = {} if not _takes_size(over) else {"height": height, "width": width}
        found: Image = over(**asked, **sized, image=large, strength=step.strength).images[0]
    return found


def _call(
    pipe: Any, prompt: str, negative: str | None, guidance: float, length: int | None
) -> dict[str, Any]:
    sized = length_arguments(pipe) if length is None else {"max_sequence_length": length}
    return {"prompt": prompt, **guidance_arguments(pipe, guidance, negative), **sized}


def _image_to_image(pipe: Any) -> Any:
    """The pipeline that draws over a picture with the same models, without a dynamic shift."""
    from diffusers import AutoPipelineForImage2Image

    try:
        over = AutoPipelineForImage2Image.from_pipe(pipe)
    except ValueError as error:
        raise ValueError(f"pipe: {type(pipe).__name__} cannot draw over a picture") from error
    if over.scheduler.config.get("use_dynamic_shifting"):
        kind = type(over.scheduler)
        over.scheduler = kind.from_config(over.scheduler.config, use_dynamic_shifting=False)
    over.set_progress_bar_config(**getattr(pipe, "_progress_bar_config", {}))
    return over


def _takes_size(pipe: Any) -> bool:
    from inspect import signature

    return "height" in signature(type(pipe).__call__).parameters


@contextmanager
def _tiled(pipe: Any, wanted: bool) -> Iterator[None]:
    before = getattr(pipe.vae, "use_tiling", False)
    if wanted and not before:
        pipe.vae.enable_tiling()
    try:
        yield
    finally:
        if wanted and not before:
            pipe.vae.disable_tiling()
