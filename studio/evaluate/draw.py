"""Draws pictures in batches, each from latents of its own seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from PIL.Image import Image

from ..pipelines.calls import guidance_arguments, length_arguments, size_arguments

__all__ = ["Pipeline", "Progress", "draw"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the picture-steps done and those in all."""


class Pipeline(Protocol):
    """A text-to-image pipeline with the call of diffusers' `StableDiffusionPipeline`."""

    def __call__(self, **arguments: Any) -> Any:
        """Take `prompt`, `generator`, … and return an output with `images`."""


def draw(
    pipe: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance: float,
    batch: int,
    progress: Progress | None = None,
) -> Iterator[tuple[Image, ...]]:
    """Yield the pictures of `prompts`, `batch` at a time, in order.

    The latents are drawn on the CPU from one seed a prompt, so they are the same on every device
    and for every `batch`; only rounding inside the denoiser depends on the batch.
    """
    if len(seeds) != len(prompts):
        raise ValueError(f"seeds: {len(seeds)} came for {len(prompts)} prompts; expected one each")
    for name, value in (("batch", batch), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name}: {value} came; expected at least 1")
    total = len(prompts) * steps
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])

        def after_step(
            _pipe: object, step: int, _t: object, tensors: dict[str, Any], done: int = start
        ) -> dict[str, Any]:
            if progress is not None:
                progress(done * steps + (step + 1) * min(batch, len(prompts) - done), total)
            return tensors

        yield tuple(
            pipe(
                prompt=part,
                num_inference_steps=steps,
                **guidance_arguments(pipe, guidance, count=len(part)),
                **length_arguments(pipe),
                **size_arguments(pipe),
                generator=[
                    torch.Generator("cpu").manual_seed(seed)
                    for seed in seeds[start : start + batch]
                ],
                callback_on_step_end=after_step,
            ).images
        )
