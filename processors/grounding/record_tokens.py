"""Reads the attention on each token of the prompts, block by block: what grounding is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..call import Grid, Kind, Site, Step
from ..control import Control, Prompts
from ..controls.blocks import MAPS, within
from ..interval import Interval
from ..prompts import TokenizedText
from ..recorder import Columns, Maps, Word
from .rules import GroundRules
from .words import Role, expression_roles

__all__ = ["RecordTokens", "Token", "TokenColumns", "columns_of", "tokens_of"]


@dataclass(frozen=True)
class Token:
    """A token of one prompt: its position on the text axis, its role, its letters and where."""

    position: int
    role: Role
    text: str
    span: tuple[int, int]


@dataclass(frozen=True, eq=False)
class TokenColumns:
    """What each place looked at, L blocks, J tokens.

    columns: [L, I, J] fp32, the mean over heads and calls of the attention on each token.
    by_text: [L, J], the mean attention of the prompt's own tokens; None without joint attention.
    grid:    (height, width) of the I places.
    sites:   names of the L attention modules.
    """

    columns: Tensor
    by_text: Tensor | None
    grid: Grid
    tokens: tuple[Token, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class RecordTokens(Control):
    """Reads only: the pictures keep their bits.

    expressions: one a prompt, as it was before `ground_prompt` gave it magnets.
    rules:       which of its tokens are what.
    blocks:      in a transformer, the part of its blocks that is read, in the order they run.
    found:       the tokens of each prompt, made by bind.
    """

    expressions: tuple[str, ...] = ()
    rules: GroundRules = field(default_factory=GroundRules)
    blocks: Interval = MAPS
    found: tuple[tuple[Token, ...], ...] = ()

    def bind(self, prompts: Prompts) -> RecordTokens:
        texts = prompts.tokenized("record_tokens")
        if len(texts) != len(self.expressions):
            raise ValueError(
                f"expressions: {len(self.expressions)} came for {len(texts)} prompts; expected one "
                "each"
            )
        pairs = zip(texts, self.expressions, strict=True)
        return replace(self, found=tuple(tokens_of(t, e, self.rules) for t, e in pairs))

    def departs(self, prompt: int) -> bool:
        return False

    def acts(self, site: Site, step: Step) -> bool:
        return self.reads(site)

    def reads(self, site: Site) -> bool:
        """Whether it reads at the site: it does so at every step."""
        return site.maps and within(site, self.blocks)

    def phase(self, step: Step) -> None:
        return None

    def record(self, site: Site, step: Step) -> Columns:
        words = tuple(
            Word(prompt, _name(site, token), (token.position,))
            for prompt, tokens in enumerate(self.found)
            for token in tokens
        )
        return Columns(words, edited=False, texts=site.kind is Kind.JOINT)


def tokens_of(text: TokenizedText, expression: str, rules: GroundRules) -> tuple[Token, ...]:
    """The tokens of one grounding prompt, block after block."""
    found = []
    for block in text.blocks:
        for at, role in expression_roles(block, expression, rules):
            span = block.spans[at - block.offset]
            found.append(Token(at, role, text.text[slice(*span)], span))
    return tuple(found)


def columns_of(
    maps: Maps, prompt: int, tokens: Sequence[Token], sites: Sequence[Site], length: int
) -> TokenColumns:
    """What a `RecordTokens` recorded for one prompt.

    sites:  those that it reads.    length: T, positions of the text axis.
    """
    joint = sites[0].kind is Kind.JOINT
    by_texts = (length, 1)
    (grid,) = (grid for grid in maps.grids if not joint or grid != by_texts)

    def stacked(site: Site, grid: Grid) -> Tensor:
        """[I or T, J]."""
        names = [_name(site, token) for token in tokens]
        return torch.stack([maps.get(n, prompt=prompt, grid=grid).flatten() for n in names], -1)

    own = [token.position for token in tokens]
    return TokenColumns(
        columns=torch.stack([stacked(site, grid) for site in sites]),
        by_text=torch.stack([stacked(s, by_texts)[own].mean(0) for s in sites]) if joint else None,
        grid=grid,
        tokens=tuple(tokens),
        sites=tuple(site.name for site in sites),
    )


def _name(site: Site, token: Token) -> str:
    return f"{site.name}/{token.position}"
