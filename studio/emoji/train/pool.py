"""The data of the image models: a rolling store of encoded scenes and their captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .loop import Budget, trained_so_far
from .painters import Painters
from .pictures import TURNS, Captioned, Phase, as_input, captioned
from .precision import autocast
from .tokenizer import FILLERS, PREFIXES

__all__ = ["Feed", "Pool", "Source", "Tokenize"]

Tokenize = Callable[[list[str]], Tensor]
"""Captions to token ids `[B, T]`."""
Source = Callable[[tuple[int, ...]], Iterator[Captioned]]
"""Endless captions and pictures of a seed."""

_CAPTION_DROPOUT = 0.1  # for classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598)
_SIZE = 3072  # latents in memory
_REUSE = 4  # how often a latent is trained on, each time with other noise
_LARGE = 2**18  # latents in memory where workers draw: 4 GiB
_FIRST = 8192  # of them are there before training starts


class Pool:
    """Each step adds a few scenes, and drops the oldest when full, so that encoding stays cheap.

    Where workers draw, a step adds what they have ready instead.
    """

    large = _LARGE

    def __init__(
        self, vae: AutoencoderKL, tokenize: Tokenize, pictures: Source, budget: Budget
    ) -> None:
        self.vae, self.device = vae, budget.device
        self.batch_size = budget.batch
        # A resumed run must not see the first scenes again.
        seeds = (budget.seed, trained_so_far(budget).pictures)

        def source(worker: int) -> Iterator[Captioned]:
            own = (*seeds, worker)
            return _reworded(pictures(own), (*own, 1))

        first = np.random.SeedSequence(seeds).generate_state(1)
        self.rng = torch.Generator(self.device).manual_seed(int(first[0]))
        self.painters = None
        if budget.workers:
            self.painters = Painters(source, tokenize, budget.workers)
        self.tokenize, self.source = tokenize, source(0)
        self.nothing = tokenize([""]).to(self.device)
        self.size = self.large if budget.workers else _SIZE
        self.added = 0
        self.latents = self.tokens = torch.empty(0)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Latents `[B, C, h, w]` and token ids `[B, T]`, captions dropped at the usual rate."""
        if self.painters is None:
            self._draw(max(self.batch_size // _REUSE, 1) if self.added else 2 * self.batch_size)
        else:
            while self.added < _FIRST:
                self._add(*self.painters.wait())
            if (chunk := self.painters.ready()) is not None:
                self._add(*chunk)
        count, filled = (self.batch_size,), min(self.added, self.size)
        pick = torch.randint(filled, count, generator=self.rng, device=self.device)
        dropped = torch.rand(count, generator=self.rng, device=self.device) < _CAPTION_DROPOUT
        tokens = torch.where(dropped[:, None], self.nothing, self.tokens[pick])
        return self.latents[pick].float(), tokens

    def _draw(self, count: int) -> None:
        drawn = list(islice(self.source, count))
        images = torch.from_numpy(np.stack([image for _, image in drawn]))
        self._add(images, self.tokenize([caption for caption, _ in drawn]))

    def encode(self, images: Tensor) -> Tensor:
        """Bytes `[B, H, W, 3]` to latents `[B, C, h, w]`."""
        return self.latents_of(as_input(images))

    def latents_of(self, pictures: Tensor) -> Tensor:
        """`[B, 3, H, W]` in [-1, 1] to latents."""
        with autocast(self.device):
            latents: Tensor = self.vae.encode(pictures).latent_dist.mode()
        return latents * self.vae.config.scaling_factor

    @torch.no_grad()
    def _add(self, images: Tensor, tokens: Tensor) -> None:
        if torch.device(self.device).type == "cuda":  # from pageable memory it would wait
            images, tokens = images.pin_memory(), tokens.pin_memory()
        latents = self.encode(images.to(self.device, non_blocking=True))
        tokens = tokens.to(self.device, non_blocking=True)
        if not self.added:
            kind = torch.float32 if self.painters is None else torch.float16
            self.latents = latents.new_empty(self.size, *latents.shape[1:], dtype=kind)
            self.tokens = tokens.new_empty(self.size, *tokens.shape[1:])
        where = (self.added + torch.arange(len(latents), device=self.device)) % self.size
        self.latents[where], self.tokens[where] = latents.to(self.latents.dtype), tokens
        self.added += len(latents)


class Feed:
    """The pool of a phase, or those of the phases it is made of, in turn."""

    def __init__(
        self,
        vae: AutoencoderKL,
        tokenize: Tokenize,
        nouns: Sequence[str],
        budget: Budget,
        phase: Phase,
    ) -> None:
        phases = TURNS.get(phase, {phase: 1})
        size = vae.config.sample_size
        pools = {
            part: Pool(vae, tokenize, partial(captioned, part, nouns=nouns, size=size), budget)
            for part in phases
        }
        self.turns = [pools[part] for part, times in phases.items() for _ in range(times)]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """See Pool."""
        return self.turns[step % len(self.turns)].batch()


def _reworded(source: Iterator[Captioned], seeds: tuple[int, ...]) -> Iterator[Captioned]:
    """Now and then words that mean nothing here, so that users' prompts may hold them too."""
    rng = np.random.default_rng(seeds)
    for caption, image in source:
        text = caption
        if rng.random() < 0.06:
            text = f"{rng.choice(PREFIXES)} {text}"
        if rng.random() < 0.06:
            text = text.replace("a ", f"a {rng.choice(FILLERS)} ", 1)
        yield text, image
