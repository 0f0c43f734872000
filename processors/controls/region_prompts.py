"""Region prompts: in a part of the picture its own prompt is read, elsewhere the picture's.

The idea of "attention couple" and "regional prompting" of the web UIs: queries within region r
attend to the text of r. With K_0, V_0 of the picture's prompt and K_r, V_r of the region's, at
cross-attention:

    inside   softmax over the keys of all regions that hold the query, and K_0 with weight `base`
    outside  softmax over K_0

Differs: those tools add up whole attentions by weight; here all keys share one softmax, so a text
that fits a query better counts for more, and one fused call does it. With `base` = 0 and regions
apart from each other both are the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from math import log

import torch
from torch import Tensor

from ..call import Batch, Call, Grid, Kind, Role, Rows, Site, Step
from ..control import Context, Control, Prompts
from ..interval import Interval
from ..mask import KeyBias, Labels, Mask
from ..prompts import tokenize
from ..recorder import Columns, Maps, Word
from .concepts import smoothed
from .gates import found_in
from .regions import Region, check_region, covered

__all__ = ["RegionPrompts"]

_PART = 0.5  # ours: a word's region is where its smoothed map has this part of its maximum


@dataclass(frozen=True, eq=False)
class RegionPrompts(Control):
    """For every conditional row; unconditional ones read what they always read.

    regions: (where, prompt) of each: a box, a painted mask, or a word of the picture's prompt,
             whose place is known once it was looked at.
    base:    weight of the picture's prompt within regions; 0 = it is not read there.
    during:  the part of the denoising in which it holds.
    looks:   the part of the denoising after which words have a place; before, they have none.
    embeds, words, images, places: made by bind.
    """

    regions: tuple[tuple[Region | str, str], ...] = ()
    base: float = 0.2
    during: Interval = Interval()
    looks: float = 0.2
    rows: Rows = field(default=Rows.ALL, kw_only=True)
    embeds: Tensor | None = None
    words: tuple[Word, ...] = ()
    images: int = 1
    places: _Places | None = None

    def bind(self, prompts: Prompts) -> RegionPrompts | None:
        if not self.regions:
            return None
        if not 0 <= self.base <= 1 or not 0 <= self.looks <= 1:
            raise ValueError(f"base, looks: came {self.base}, {self.looks}; expected [0, 1]")
        words: list[Word] = []
        for where, text in self.regions:
            cut = [w for block in tokenize(text, prompts.blocks).blocks for w in block.cut_words]
            if cut:
                raise ValueError(
                    f"regions: the prompt {text!r} is longer than the text encoder reads; lost: "
                    f"{', '.join(cut)}"
                )
            if isinstance(where, str):
                texts = prompts.tokenized("region_prompts")
                words += [Word(p, where, t) for p, t in found_in(texts, where).items()]
            else:
                check_region(where, f"regions: that of {text!r}")
        if prompts.encode is None:
            raise ValueError(f"regions: no pipeline is there to encode {self.regions[0][1]!r}")
        embeds = prompts.encode([text for _, text in self.regions])
        return replace(
            self, embeds=embeds, words=tuple(words), images=prompts.images, places=_Places()
        )

    def acts(self, site: Site, step: Step) -> bool:
        return site.kind is Kind.CROSS and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return self._known

    def record(self, site: Site, step: Step) -> Columns | None:
        return None if self._known or not site.maps else Columns(self.words)

    def observe(self, maps: Maps, step: Step) -> None:
        """After `looks` of the steps the words' places are settled."""
        assert self.places is not None
        if self._known or step.index + 1 < self.looks * step.count:
            return
        for prompt, word in maps.words:
            for image in range(self.images):
                heat = smoothed(maps.get(word, prompt=prompt, image=image)[None])[0]
                self.places.settle(word, prompt, image, (heat >= _PART * heat.max()).float())

    def context(self, site: Site, step: Step, batch: Batch, context: Context) -> Context:
        assert self.embeds is not None
        more = self.embeds.to(context.k).flatten(0, 1).expand(len(context.k), -1, -1)
        keys = torch.cat([context.k, more], 1)
        return Context(keys, keys if context.v is context.k else torch.cat([context.v, more], 1))

    def tokens(self, call: Call) -> Call:
        if call.keys.reference is not None:
            raise ValueError(
                "controls: region_prompts came with another control that adds text keys; expected "
                "one of them, with all regions"
            )
        text = slice(0, self._base(call))
        rest = slice(text.stop, call.shape[3])
        return replace(call, keys=replace(call.keys, text=text, reference=rest))

    def mask(self, call: Call) -> Mask:
        assert self.places is not None and call.queries.grid is not None
        own = torch.ones(call.shape[3], dtype=torch.int64)
        for r in range(len(self.regions)):
            own[self._keys(call, r)] = 2 << r
        see = self.places.see(self.regions, call.batch, call.queries.grid, reads_base=self.base > 0)
        return Mask.of(Labels(see, own[None]))

    def bias(self, call: Call) -> KeyBias | None:
        if self.base in (0, 1):
            return None
        keys = torch.zeros(call.shape[3])
        keys[self._base(call) :] = -log(self.base)  # the same as log(base) for the picture's prompt
        return KeyBias(keys)

    @property
    def _known(self) -> bool:
        """Whether every word has its place in every picture."""
        return not self.words or (self.places is not None and self.places.settled)

    def _base(self, call: Call) -> int:
        assert self.embeds is not None
        return call.shape[3] - self.embeds.shape[0] * self.embeds.shape[1]

    def _keys(self, call: Call, region: int) -> slice:
        assert self.embeds is not None
        length = self.embeds.shape[1]
        start = self._base(call) + region * length
        return slice(start, start + length)


class _Places:
    """Where the regions are, on every grid that was asked for."""

    def __init__(self) -> None:
        self._words: dict[tuple[str, int, int], Tensor] = {}
        self._see: dict[tuple[Grid, Batch], Tensor] = {}

    @property
    def settled(self) -> bool:
        """Whether the words' places are known."""
        return bool(self._words)

    def settle(self, word: str, prompt: int, image: int, mask: Tensor) -> None:
        """The place of a word in a picture, [h, w]."""
        self._words[word, prompt, image] = mask.cpu()
        self._see.clear()

    def see(
        self,
        regions: tuple[tuple[Region | str, str], ...],
        batch: Batch,
        grid: Grid,
        *,
        reads_base: bool,
    ) -> Tensor:
        """[B, N] int: bit 0 for the picture's prompt, bit r + 1 for region r."""
        known = self._see.get((grid, batch))
        if known is None:
            rows = []
            for row in batch.rows:
                bits = torch.zeros(grid, dtype=torch.int64)
                for r, (where, text) in enumerate(regions):
                    if row.role is Role.COND:
                        held = self._held(where, text, row.prompt, row.image, grid)
                        bits |= held.to(torch.int64) * (2 << r)
                rows.append((bits if reads_base else torch.where(bits > 0, bits, 1)) | reads_base)
            known = self._see[grid, batch] = torch.stack(rows).flatten(1)
        return known

    def _held(self, where: Region | str, text: str, prompt: int, image: int, grid: Grid) -> Tensor:
        if not isinstance(where, str):
            return covered(where, grid, f"regions: that of {text!r}")
        mask = self._words.get((where, prompt, image))
        none = torch.zeros(grid, dtype=torch.bool)
        return none if mask is None else covered(mask, grid, f"regions: {where!r}")
