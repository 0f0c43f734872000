"""Subject-driven self-attention: pictures of one subject look at it in a few anchors too.

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286), section 3.1. With A the anchors, the keys of
picture i are all of its own and, of every other anchor, those where the subject is:

    K_i = [K_i | K_j where the subject is in j, for j in A, j ≠ i]

in the decoder, each half of guidance by itself; a shared key is dropped with probability `dropout`
in each step. Differs: masks are Otsu's of the means over all steps so far, and draws have a
generator of their own (the released code sets torch's to 0). The paper's vanilla queries are
`BlendQueries`, its feature injection is `InjectFeatures`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Call, Grid, Kind, Rows, Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns, Maps, Word
from ..sight import Sight, Sights
from .blocks import decoding
from .draws import drawn_from
from .gates import found_in
from .places import Kept, looked_at
from .regions import Region
from .subjects import held, numbered

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
    prompts: numbers of the prompts that look at anchors; None = all. ours.
    """

    words: tuple[str, ...] = ()
    where: tuple[Region, ...] = ()
    anchors: tuple[int, ...] = (0, 1)
    dropout: float = 0.5
    during: Interval = Interval()
    blocks: Interval = Interval(0.5, 1.0)
    seed: int = 0
    prompts: tuple[int, ...] | None = field(default=None, kw_only=True)
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
        numbered("anchors", self.anchors, prompts)
        readers = numbered("prompts", self.prompts, prompts)
        if prompts.count == 1 or not readers or not self.anchors or self.dropout == 1:
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
        return self._shares(site, step)

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
        ready = bool(self.where) or self.masks.known
        if not ready or not self._shares(call.site, call.step):
            return None

        def made() -> dict[int, Sight]:
            grid = call.queries.grid
            assert grid is not None

            def held_by(anchor: int, image: int) -> Tensor:
                return self._held(anchor, image, grid).flatten().nonzero()[:, 0]

            return drawn_from(
                call,
                self.rows,
                self.anchors,
                held_by,
                seed=self.seed,
                probability=1 - self.dropout,
                readers=self.prompts,
            )

        return self.kept.sights(call, call.step.call, made)

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        count = self.count if self.prompts is None else len(self.prompts)
        return (
            f"share_subjects let {count} pictures look at the subject of "
            f"{len(self.anchors)} of them",
        )

    def _shares(self, site: Site, step: Step) -> bool:
        deep = site.kind is not Kind.CROSS and decoding(site, self.blocks)
        return deep and self.during.active(step)

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
                mask = looked_at(maps.get(word.text, prompt=word.prompt, image=image))
                before = self._found.get((word.prompt, image))
                self._found[word.prompt, image] = mask if before is None else mask | before

    def of(self, prompt: int, image: int, grid: Grid) -> Tensor:
        """[h, w] bool; none where no word is."""
        found = self._found.get((prompt, image))
        if found is None:
            return torch.zeros(grid, dtype=torch.bool)
        return held(found.float(), grid, f"prompt {prompt}")
