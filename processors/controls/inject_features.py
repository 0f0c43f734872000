"""Feature injection: a subject's tokens take over what attention gave their like elsewhere.

ConsiStory, Tewel et al. 2024 (arXiv:2402.03286), section 3.3. With p a token of picture i and m(p)
the token of another picture that is most like it (`pipelines.match_features`),

    o_i(p) ← w o(m(p)) + (1 − w) o_i(p)

in self-attention of one grid, up and down, w = 0.8 from step n/10 to n/3, for the conditional half.
The released code blends after the output's projection, this before it: it is affine and weights add
up to 1, so both are the same.

ours: in a transformer, image tokens of a part of its blocks.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..call import Call, Kind, Rows, Site, Stage, Step
from ..control import Control, Prompts
from ..interval import Interval
from .blocks import within
from .subjects import numbered

__all__ = ["InjectFeatures", "Match"]


@dataclass(frozen=True, eq=False)
class Match:
    """The like of a picture's tokens.

    prompt, image: whose tokens.
    source: [h, w] int64, the prompt in whose picture, same `image`, the like is; -1 = none.
    token:  [h, w] int64, its number in the flattened grid h x w.
    """

    prompt: int
    source: Tensor
    token: Tensor
    image: int = 0

    @property
    def count(self) -> int:
        """Tokens that have a like."""
        return int((self.source >= 0).sum())


@dataclass(frozen=True, eq=False)
class InjectFeatures(Control):
    """It acts at sites of the matches' own grid; the paper's is the finest that has attention.

    weight: w; 0 = nothing is injected.
    during: the part of the denoising.
    blocks: in a transformer, the part of its blocks. ours.
    """

    matches: tuple[Match, ...]
    weight: float = 0.8
    during: Interval = Interval(0.1, 1 / 3)
    blocks: Interval = Interval()
    rows: Rows = field(default=Rows.COND, kw_only=True)

    def bind(self, prompts: Prompts) -> InjectFeatures | None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight: came {self.weight}; expected [0, 1]")
        for match in self.matches:
            source, token = match.source, match.token
            if source.ndim != 2 or source.shape != token.shape:
                raise ValueError(
                    f"matches: came a source {list(source.shape)} and a token "
                    f"{list(token.shape)}; expected both [h, w]"
                )
            numbered("matches", [match.prompt, *source[source >= 0].unique().tolist()], prompts)
            if not 0 <= match.image < prompts.images:
                raise ValueError(
                    f"matches: came image {match.image}; the run has 0 to {prompts.images - 1}"
                )
            used = token[source >= 0]
            if len(used) and not 0 <= int(used.min()) <= int(used.max()) < token.numel():
                raise ValueError(
                    f"matches: came tokens {int(used.min())} to {int(used.max())}; expected 0 to "
                    f"{token.numel() - 1}, the grid's"
                )
        if self.weight == 0 or self.during.empty or not any(match.count for match in self.matches):
            return None
        return self

    def acts(self, site: Site, step: Step) -> bool:
        where = site.kind is not Kind.CROSS and site.stage is not Stage.MID
        return where and within(site, self.blocks) and self.during.active(step)

    def phase(self, step: Step) -> Hashable:
        return None

    def finish(self, call: Call, out: Tensor) -> Tensor:
        found = out
        for match in self.matches:
            if match.source.shape != call.queries.grid:
                continue
            for i in call.batch.select(self.rows):
                row = call.batch.rows[i]
                if (row.prompt, row.image) == (match.prompt, match.image):
                    found = out.clone() if found is out else found
                    self._take_over(call, out, found, i, match)
        return found

    def _take_over(self, call: Call, out: Tensor, found: Tensor, i: int, match: Match) -> None:
        """Writes row i of `found`; sources are as they left attention, in `out`."""
        source, token = match.source.flatten(), match.token.flatten()
        for prompt in source[source >= 0].unique().tolist():
            j = call.batch.beside(i, prompt)
            if j < call.batch.idle:
                raise ValueError(
                    f"recalls: inject_features needs what attention gives prompt {prompt}, which "
                    "is recalled; expected it drawn beside"
                )
            here = (source == prompt).nonzero()[:, 0]
            there = token[here].to(out.device)
            here = here.to(out.device)
            mine, like = (out[n, :, call.queries.image] for n in (i, j))
            taken = torch.lerp(mine[:, here], like[:, there], self.weight)
            found[i, :, call.queries.image][:, here] = taken

    def notes(self) -> tuple[str, ...]:
        """For the receipt."""
        count = sum(match.count for match in self.matches)
        return (f"inject_features gave {count} tokens what attention gave their like",)
