"""Local blend: outside the places where the words are looked at, the edit is the source.

Prompt-to-Prompt, Hertz et al. 2022 (arXiv:2208.01626), section 3.2 and the authors' code. With m_p
the mean map of prompt p's words on the model's map grid, after each step:

    b_p = resize(maxpool3(m_p)) > threshold · max         mask = b_0 or b_k
    s_p = resize(n_p) > subtract_threshold · max          mask = mask and not (s_0 or s_k)
    x_k ← x_k where the mask is, else x_0

n_p: the same mean for the words to subtract.   k: an edit, 0: the source.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..call import Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..prompts import TokenizedText
from ..recorder import Columns, Maps, Word
from .blocks import MAPS, within

__all__ = ["LocalBlend"]

OfPrompt = str | tuple[str, ...]
"""A word, or several, of one prompt."""


@dataclass(frozen=True, eq=False)
class LocalBlend(Control):
    """Keeps the background of the source; needs a scheduler that carries edits of latents on.

    words:              for each prompt the words whose places may change, such as ("cat", "dog").
    subtract:           for each prompt words whose places stay the source's.
    threshold, subtract_threshold: parts of each map's own maximum; the code's default 0.3.
    during:             from 20 % on, as in the code: earlier maps are not yet of use.
    blocks:             in a transformer, the part of its blocks whose maps are read.
    """

    paired: ClassVar[bool] = True

    words: tuple[OfPrompt, ...] = ()
    subtract: tuple[OfPrompt, ...] = ()
    threshold: float = 0.3
    subtract_threshold: float = 0.3
    during: Interval = Interval(0.2, 1.0)
    images: int = 1
    added: tuple[Word, ...] = ()
    removed: tuple[Word, ...] = ()
    blocks: Interval = MAPS

    def bind(self, prompts: Prompts) -> LocalBlend:
        prompts.require_edits("local_blend")
        texts = prompts.tokenized("local_blend")
        if not self.words:
            raise ValueError("words: came none; expected the words whose places may change")
        return replace(
            self,
            images=prompts.images,
            added=_found(texts, self.words, "words"),
            removed=_found(texts, self.subtract, "subtract") if self.subtract else (),
        )

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        return site.maps and within(site, self.blocks)

    def phase(self, step: Step) -> Hashable:
        return None

    def record(self, site: Site, step: Step) -> Columns:
        return Columns(tuple(dict.fromkeys(self.added + self.removed)))

    def edit_latents(self, latents: Tensor, maps: Maps, step: Step) -> Tensor:
        """[P·n, C, h, w], prompt-major."""
        if not self.during.active(step):
            return latents
        blended = latents.clone()
        for row in range(self.images, latents.shape[0]):
            prompt, image = divmod(row, self.images)
            size = latents.shape[-2:]
            mask = self._places(maps, self.added, (0, prompt), image, size, pool=True)
            if self.removed:
                mask &= ~self._places(maps, self.removed, (0, prompt), image, size, pool=False)
            blended[row] = torch.where(mask, latents[row], latents[image])
        return blended

    def _places(
        self,
        maps: Maps,
        words: Sequence[Word],
        prompts: tuple[int, ...],
        image: int,
        size: Sequence[int],
        *,
        pool: bool,
    ) -> Tensor:
        """[h, w] bool: where the words of any of the prompts are looked at."""
        threshold = self.threshold if pool else self.subtract_threshold
        found = torch.zeros(tuple(size), dtype=torch.bool)
        for prompt in prompts:
            own = [
                maps.get(w.text, prompt=prompt, image=image) for w in words if w.prompt == prompt
            ]
            if own:
                mean = torch.stack(own).sum(0)[None, None]
                if pool:
                    mean = F.max_pool2d(mean, 3, stride=1, padding=1)
                mean = F.interpolate(mean, tuple(size))[0, 0]
                found = found.to(mean.device) | (mean > threshold * mean.max())
        return found


def _found(
    texts: Sequence[TokenizedText], words: Sequence[OfPrompt], argument: str
) -> tuple[Word, ...]:
    if len(words) != len(texts):
        raise ValueError(
            f"{argument}: came words for {len(words)} prompts; expected one entry for each of the "
            f"{len(texts)} prompts, such as ('cat', 'dog')"
        )
    return tuple(
        Word(prompt, word, text.find(word).indices)
        for prompt, (text, own) in enumerate(zip(texts, words, strict=True))
        for word in ((own,) if isinstance(own, str) else own)
    )
