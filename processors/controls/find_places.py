"""Where words are in a picture: their maps, spread by the picture's own self-attention.

As IR-Diffusion's code (He et al. 2024, arXiv:2411.19261) finds subjects without a segmenter. With C
the mean map of a word over the steps so far and A the head-mean self-attention of a site on the
same grid, mean over sites and steps of

    M = (A C + A² C + A³ C + A⁴ C) / 4

and the place is where M is above Otsu's threshold. Differs: A is never formed, since A C is the
attention with C for values; the released code multiplies sums of powers of A by mistake, and its
threshold is not Otsu's (otsu.py).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Call, Kind, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..otsu import above
from ..recorder import Columns, Maps, Word
from .blocks import within
from .gates import found_in
from .places import looked_at

__all__ = ["FindPlaces"]

_POWERS = 4


@dataclass(frozen=True, eq=False)
class FindPlaces(Control):
    """It only reads: pictures keep their bits.

    words:  looked up in every prompt.
    during: the part of the denoising whose maps count.
    spread: whether self-attention spreads them; else they are smoothed.
    blocks: in a transformer, the part of its blocks that are read.
    found:  what there is so far: give one of your own to read it after the run.
    targets, images: made by bind.
    """

    words: tuple[str, ...] = ()
    during: Interval = Interval(0.2, 1.0)
    spread: bool = True
    blocks: Interval = Interval()
    found: _Found | None = None
    targets: tuple[Word, ...] = ()
    images: int = 1

    @classmethod
    def of(cls, *words: str, spread: bool = True) -> FindPlaces:
        """A control whose `place` answers after the run."""
        return cls(words, spread=spread, found=_Found())

    def place(self, word: str, *, prompt: int = 0, image: int = 0) -> Tensor:
        """[h, w] bool. ValueError for a word that was not looked at."""
        assert self.found is not None
        return self.found.place(word, prompt, image)

    def bind(self, prompts: Prompts) -> FindPlaces | None:
        if self.found is None:
            raise ValueError("found: came none; expected FindPlaces.of(words), which keeps them")
        if not self.words or self.during.empty:
            return None
        texts = prompts.tokenized("find_places")
        targets = [
            Word(p, word, tokens)
            for word in self.words
            for p, tokens in found_in(texts, word).items()
        ]
        self.found.clear()
        return replace(self, targets=tuple(targets), images=prompts.images)

    def acts(self, site: Site, step: Step) -> bool:
        reads = site.maps or (self.spread and site.kind is not Kind.CROSS)
        return reads and self.during.active(step) and within(site, self.blocks)

    def phase(self, step: Step) -> Hashable:
        return None

    def record(self, site: Site, step: Step) -> Columns | None:
        return Columns(self.targets, edited=False) if site.maps else None

    def observe(self, maps: Maps, step: Step) -> None:
        """What self-attention is to spread from the next step on."""
        assert self.found is not None
        if maps.words:
            self.found.learn(maps, self.targets, self.images)

    def finish(self, call: Call, out: Tensor) -> Tensor:
        assert self.found is not None
        heats = self.found.heats
        image, grid = call.queries.image, call.queries.grid
        same = bool(heats) and grid == next(iter(heats.values())).shape
        if not self.spread or call.site.kind is Kind.CROSS or not same or image is None:
            return out
        looks = call.looks(range(call.shape[0]))
        for i in call.batch.cond:
            row = call.batch.rows[i]
            words = [w for w in self.targets if w.prompt == row.prompt]
            if words:
                q, k = looks.of([i])
                maps = torch.stack([heats[w.text, w.prompt, row.image].flatten() for w in words], 1)
                self.found.spread_by(
                    words, row.image, _spread(q[:, :, image], k[:, :, image], maps, call.scale)
                )
        return out


class _Found:
    """Maps of a run, as they are and as they spread."""

    def __init__(self) -> None:
        self.heats: dict[tuple[str, int, int], Tensor] = {}
        self._sums: dict[tuple[str, int, int], Tensor] = {}

    def clear(self) -> None:
        self.heats.clear()
        self._sums.clear()

    def learn(self, maps: Maps, words: tuple[Word, ...], images: int) -> None:
        for w in words:
            for image in range(images):
                grid = maps.grids[0]
                self.heats[w.text, w.prompt, image] = maps.get(
                    w.text, prompt=w.prompt, image=image, grid=grid
                )

    def spread_by(self, words: list[Word], image: int, maps: Tensor) -> None:
        """maps [N, W]; only their shape over the grid counts, so sums will do."""
        for i, w in enumerate(words):
            key = (w.text, w.prompt, image)
            before = self._sums.get(key)
            self._sums[key] = maps[:, i] if before is None else before + maps[:, i]

    def place(self, word: str, prompt: int, image: int) -> Tensor:
        heat = self.heats.get((word, prompt, image))
        if heat is None:
            raise ValueError(
                f"word: {word!r} of prompt {prompt}, image {image} was not looked at; looked at: "
                f"{', '.join(f'{w!r} of prompt {p}' for w, p, _ in self.heats) or 'nothing'}"
            )
        spread = self._sums.get((word, prompt, image))
        if spread is not None:
            return above(spread.view(heat.shape)).cpu()
        return looked_at(heat)


def _spread(q: Tensor, k: Tensor, maps: Tensor, scale: float | None) -> Tensor:
    """Mean of A C to A⁴ C for C [N, W]; q, k [1, H, N, D]."""
    spread = maps.to(q)[None, None]
    total = torch.zeros_like(maps)
    for _ in range(_POWERS):
        values = spread.expand(1, q.shape[1], *maps.shape)
        spread = F.scaled_dot_product_attention(q, k, values, scale=scale).mean(1, keepdim=True)
        total = total + spread[0, 0].to(total)
    return total / _POWERS
