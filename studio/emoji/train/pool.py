"""The data of the image models: a rolling store of encoded scenes and their captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .loop import Budget, trained_so_far
from .pictures import TURNS, Phase, captioned, to_model
from .precision import autocast
from .tokenizer import FILLERS, PREFIXES

__all__ = ["Feed", "Pool", "Tokenize"]

Tokenize = Callable[[list[str]], Tensor]
"""Captions to token ids `[B, T]`."""

_CAPTION_DROPOUT = 0.1  # for classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598)
_SIZE = 3072  # latents in memory
_REUSE = 4  # how often a latent is trained on, each time with other noise


class Pool:
    """Each step adds a few scenes, and drops the oldest when full, so that encoding stays cheap."""

    def __init__(
        self,
        vae: AutoencoderKL,
        tokenize: Tokenize,
        nouns: Sequence[str],
        budget: Budget,
        phase: Phase,
    ) -> None:
        self.vae, self.tokenize, self.device = vae, tokenize, budget.device
        self.batch_size = budget.batch
        # A resumed run must not see the first scenes again.
        seeds = (budget.seed, trained_so_far(budget).pictures)
        self.rng = np.random.default_rng((*seeds, 1))
        self.source = captioned(phase, seeds, nouns, vae.config.sample_size)
        latents, tokens = self._encode(2 * budget.batch)
        self.latents = latents.new_empty(_SIZE, *latents.shape[1:])
        self.tokens = tokens.new_empty(_SIZE, *tokens.shape[1:])
        self.added = 0
        self._add(latents, tokens)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Latents `[B, C, h, w]` and token ids `[B, T]`, captions dropped at the usual rate."""
        self._add(*self._encode(max(self.batch_size // _REUSE, 1)))
        filled = min(self.added, _SIZE)
        pick = torch.from_numpy(self.rng.integers(filled, size=self.batch_size))
        tokens = self.tokens[pick]
        dropped = torch.from_numpy(self.rng.random(self.batch_size) < _CAPTION_DROPOUT)
        tokens[dropped] = self.tokenize([""])[0]
        return self.latents[pick].to(self.device), tokens.to(self.device)

    def _add(self, latents: Tensor, tokens: Tensor) -> None:
        where = (self.added + torch.arange(len(latents))) % _SIZE
        self.latents[where], self.tokens[where] = latents, tokens
        self.added += len(latents)

    @torch.no_grad()
    def _encode(self, count: int) -> tuple[Tensor, Tensor]:
        drawn = list(islice(self.source, count))
        images = to_model([image for _, image in drawn]).to(self.device)
        with autocast(self.device):
            latents = self.vae.encode(images).latent_dist.mode().float().cpu()
        captions = [self._reworded(caption) for caption, _ in drawn]
        return latents * self.vae.config.scaling_factor, self.tokenize(captions)

    def _reworded(self, caption: str) -> str:
        """Now and then words that mean nothing here, so that users' prompts may hold them too."""
        if self.rng.random() < 0.06:
            caption = f"{self.rng.choice(PREFIXES)} {caption}"
        if self.rng.random() < 0.06:
            caption = caption.replace("a ", f"a {self.rng.choice(FILLERS)} ", 1)
        return caption


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
        pools = {part: Pool(vae, tokenize, nouns, budget, part) for part in phases}
        self.turns = [pools[part] for part, times in phases.items() for _ in range(times)]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """See Pool."""
        return self.turns[step % len(self.turns)].batch()
