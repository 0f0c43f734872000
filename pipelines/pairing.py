"""The same noise for every prompt: what a source and its edits must be given to be comparable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from ..processors.noise import check_start

__all__ = ["paired_generators", "paired_latents"]


def paired_generators(
    generator: Any, seed: int | None, prompts: int, images: int
) -> list[Generator]:
    """One for each picture, prompt-major; those of each prompt draw what those of prompt 0 draw.

    generator: one, of which prompt 0 draws as the stock pipeline does; a list with one for each
               picture of a prompt, or of all prompts; None = `seed`, else a seed by chance.
    seed:      picture i of each prompt gets seed + i.
    """
    if generator is not None and seed is not None:
        raise ValueError("generator, seed: came both; expected one of them")
    if generator is None:
        first = int(torch.randint(2**62, ())) if seed is None else seed
        given = [torch.Generator("cpu").manual_seed(first + i) for i in range(images)]
    elif isinstance(generator, Generator):
        given = [generator] * images
    else:
        given = list(generator)
        if len(given) not in (images, prompts * images):
            raise ValueError(
                f"generator: came {len(given)}; expected one, {images} (the pictures of a prompt) "
                f"or {prompts * images} (those of all prompts)"
            )
    states = [g.get_state() for g in given]
    if not all(torch.equal(state, states[i % images]) for i, state in enumerate(states)):
        raise ValueError(
            "generator: those of the prompts differ, so nothing of the source could be kept; "
            "expected the same seeds for each prompt, or generators for one prompt only"
        )
    paired = given[:images]
    for _ in range(1, prompts):
        copies = {id(g): _copy(g) for g in given[:images]}
        paired += [copies[id(g)] for g in given[:images]]
    return paired


def paired_latents(latents: Tensor, prompts: int, images: int) -> Tensor:
    """[P·n, …], from those of all prompts, which must be equal, or of one."""
    if latents.shape[0] == images:
        return torch.cat([latents] * prompts)
    if latents.shape[0] != prompts * images:
        raise ValueError(
            f"latents: came {latents.shape[0]} rows; expected {images} (the pictures of a prompt) "
            f"or {prompts * images} (those of all prompts)"
        )
    check_start(latents, images)
    return latents


def _copy(generator: Generator) -> Generator:
    return torch.Generator(generator.device).set_state(generator.get_state())
