"""Word maps: where a word of the prompt was looked at, averaged over sites and steps.

The mean of cross-attention maps over heads, sites and steps, as in Prompt-to-Prompt (Hertz et al.
2022, arXiv:2208.01626) and DAAM (Tang et al. 2022, arXiv:2210.04885); a word of several tokens has
the sum of their columns.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from ..call import Site, Step
from ..control import Control, Prompts
from ..interval import Interval
from ..recorder import Columns, Word
from .blocks import MAPS, within
from .gates import found_in

__all__ = ["RecordMaps"]


@dataclass(frozen=True, eq=False)
class RecordMaps(Control):
    """Reads only: the pictures keep their bits.

    words:      recorded in every prompt that has them; a word that none has is an error.
    edited:     True = the maps as they act, after all edits; False = what a row itself looks at.
    every_grid: True = every site with text, one map for each grid; False = the model's map grid.
    during:     the part of the denoising over which is averaged.
    columns:    made by bind when not given.
    blocks:     in a transformer, the part of its blocks that is read, in the order they run.
    """

    words: tuple[str, ...] = ()
    edited: bool = True
    every_grid: bool = False
    during: Interval = Interval()
    columns: Columns = Columns(())
    blocks: Interval = MAPS

    def bind(self, prompts: Prompts) -> RecordMaps | None:
        if not self.words:
            return self if self.columns.words else None
        texts = prompts.tokenized("record_maps")
        words = [
            Word(prompt, word, tokens)
            for word in self.words
            for prompt, tokens in found_in(texts, word).items()
        ]
        return replace(self, columns=Columns(tuple(words), self.edited))

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        reads = site.has_text if self.every_grid else site.maps
        return reads and within(site, self.blocks) and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def record(self, site: Site, step: Step) -> Columns:
        return self.columns
