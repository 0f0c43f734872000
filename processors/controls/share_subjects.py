"""Subject-driven self-attention: pictures of one subject look at it in a few anchors too.

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286), section 3.1. With A the anchors, the keys of
picture i are all of its own and, of every other anchor, those where the subject is:

    K_i = [K_i | K_j where the subject is in j, for j in A, j ≠ i]

in the decoder, each half of guidance by itself; a shared key is dropped with probability `dropout`
in each step. Differs: masks are Otsu's of the means over all steps so far, and draws have a
generator of their own (the released code sets torch's to 0). The paper's blending of vanilla
queries and its feature injection are not here.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Call, Grid, Kind, Rows, Site, Stage, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..otsu import above
from ..recorder import Columns, Maps, Word
from ..sight import Reference, Sight, Sights
from .blocks import within
from .concepts import smoothed
from .draws import drawn
from .gates import found_in
from .places import Kept
from .regions import Region
from .subjects import held

__all__ = ["ShareSubjects"]


@dataclass(frozen=True, eq=False)
class ShareSubjects(Control):
    """All prompts of a call are of the same subject.

    words:   of the subject, found in the prompts; or
    where:   its place in each prompt's picture, which goes before words.
    anchors: numbers of the prompts whose subject all others look at; the paper's first two.
    dropout: of shared keys; the paper's 0.5. 1 = nothing is shared.
    during:  the part of the denoising; with words it begins once there are maps.
    blocks:  in a transformer, the part of its blocks; ours.
    seed:    of the draws.
    """

    words: tuple[str, ...] = ()
    where: tuple[Region, ...] = ()
    anchors: tuple[int, ...] = (0, 1)
    dropout: float = 0.5
    during: Interval = Interval()
    blocks: Interval = Interval(0.5, 1.0)
    seed: int = 0
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    found: tuple[Word, ...] = ()
    count: int = 0
    masks: _Masks | None = None
    kept: Kept | None = None

    def bind(self, prompts: Prompts) -> ShareSubjects | None:
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout: came {self.dropout}; expected [0, 1]")
        if self.where and len(self.where) != prompts.count:
            raise ValueError(
                f"where: came {len(self.where)} places; expected one for each of the "
                f"{prompts.count} prompts"
            )
        if not self.where and not self.words:
            raise ValueError("words: came none; expected words of the subject, or `where`")
        wrong = [a for a in self.anchors if not 0 <= a < prompts.count]
        if wrong:
            raise ValueError(
                f"anchors: came prompt {wrong[0]}; the run has 0 to {prompts.count - 1}"
            )
        if prompts.count == 1 or not self.anchors or self.dropout == 1:
            return None
        words: list[Word] = []
        for word in () if self.where else self.words:
            texts = prompts.tokenized("share_subjects")
            words += [Word(p, word, tokens) for p, tokens in found_in(texts, word).items()]
        return replace(
            self,
            found=tuple(words),
            count=prompts.count,
            masks=_Masks(prompts.images),
            kept=Kept(),
        )

    def acts(self, site: Site, step: Step) -> bool:
        if self.found and site.maps:
            return True
        deep = site.stage is Stage.UP if site.depth is None else within(site, self.blocks)
        return site.kind is not Kind.CROSS and deep and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def record(self, site: Site, step: Step) -> Columns | None:
        return Columns(self.found, edited=False) if self.found and site.maps else None

    def observe(self, maps: Maps, step: Step) -> None:
        """The subject's places, anew after each step."""
        assert self.masks is not None
        self.masks.learn(maps, self.found)

    def sees(self, call: Call) -> Sights | None:
        assert self.kept is not None and self.masks is not None
        site, grid, batch = call.site, call.queries.grid, call.batch
        deep = site.stage is Stage.UP if site.depth is None else within(site, self.blocks)
        ready = bool(self.where) or self.masks.known
        if site.kind is Kind.CROSS or not deep or not ready or not self.during.active(call.step):
            return None
        phase = call.step.call
        known = self.kept.known(grid, batch, phase)
        if known is not None:
            return known
        assert grid is not None
        rows = {}
        for i in batch.select(self.rows):
            own = batch.rows[i]
            references = []
            for anchor in self.anchors:
                if anchor == own.prompt:
                    continue
                keys = self._held(anchor, own.image, grid).flatten().nonzero()[:, 0]
                draw = (self.seed, phase, grid, own.prompt, own.image, anchor)
                keys = keys[drawn(draw, len(keys), 1 - self.dropout)]
                if len(keys):
                    references.append(Reference(batch.beside(i, anchor), keys))
            if references:
                rows[i] = Sight(references=tuple(references))
        return self.kept.keep(grid, batch, phase, Sights(rows))

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        return (
            f"share_subjects let {self.count} pictures look at the subject of "
            f"{len(self.anchors)} of them",
        )

    def _held(self, prompt: int, image: int, grid: Grid) -> Tensor:
        assert self.masks is not None
        if self.where:
            return held(self.where[prompt], grid, f"prompt {prompt}")
        return self.masks.of(prompt, image, grid)


class _Masks:
    """Where the words were looked at, of each picture."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._found: dict[tuple[int, int], Tensor] = {}

    @property
    def known(self) -> bool:
        return bool(self._found)

    def learn(self, maps: Maps, words: tuple[Word, ...]) -> None:
        self._found.clear()
        for word in words:
            for image in range(self._images):
                heat = maps.get(word.text, prompt=word.prompt, image=image)
                heat = smoothed(heat[None])[0] if min(heat.shape) > 1 else heat
                mask = above(heat).cpu()
                before = self._found.get((word.prompt, image))
                self._found[word.prompt, image] = mask if before is None else mask | before

    def of(self, prompt: int, image: int, grid: Grid) -> Tensor:
        """[h, w] bool; none where no word is."""
        found = self._found.get((prompt, image))
        if found is None:
            return torch.zeros(grid, dtype=torch.bool)
        return held(found.float(), grid, f"prompt {prompt}")
