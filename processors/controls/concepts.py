"""Where the concepts of a prompt are looked at: maps of their words, made comparable.

With A_k the mean over sites and heads of token k's column, [h, w] on the model's map grid:

    linear   M_k = A_k / sum of A_n over the tokens n of the prompt
    sharp    M_k = softmax over n of 100 A_n, all positions but the start and the very last
             (Attend-and-Excite, Chefer et al. 2023, arXiv:2301.13826)
    smooth   a 3 x 3 kernel exp(-(y² + x²)), sum 1, reflected at the border: the released code's
    concept  mean (ours), maximum or first of its tokens
    spatial  divided by the sum, or by the maximum, of the map
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..control import Prompts
from ..prompts import MissingWordError, TokenizedText
from ..recorder import Columns, Maps, Word
from .gates import found_in

__all__ = ["Concept", "Concepts", "Found", "Reading", "smoothed"]

Concept: TypeAlias = str | tuple[str, int] | int | tuple[int, ...]
"""A word or phrase, one of its occurrences (word, 1), or token positions of the text axis."""

Renorm: TypeAlias = Literal["none", "linear", "sharp"]
Spatial: TypeAlias = Literal["none", "sum", "max"]
Reduce: TypeAlias = Literal["mean", "max", "first"]

_TINY = 1e-8
_SHARPNESS = 100.0


@dataclass(frozen=True)
class Found:
    """A concept in a prompt: how messages call it, and its positions on the text axis."""

    name: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """How token maps become the map of a concept; ValueError for an option that is none."""

    renorm: Renorm = "linear"
    smooth: bool = True
    spatial: Spatial = "sum"
    reduce: Reduce = "mean"

    def __post_init__(self) -> None:
        for name, known in (("renorm", Renorm), ("spatial", Spatial), ("reduce", Reduce)):
            came = getattr(self, name)
            if came not in get_args(known):
                raise ValueError(f"{name}: came {came!r}; expected {', '.join(get_args(known))}")

    def concepts(self, tokens: Sequence[Tensor]) -> Tensor:
        """[K, h, w] of renormalised maps [T_k, h, w], one entry for each concept."""
        counts = [len(part) for part in tokens]
        every = torch.cat(list(tokens))
        every = smoothed(every) if self.smooth else every
        parts = every.split(counts)
        if self.reduce == "first":
            joined = torch.stack([part[0] for part in parts])
        elif self.reduce == "max":
            joined = torch.stack([part.max(0).values for part in parts])
        else:
            joined = torch.stack([part.mean(0) for part in parts])
        if self.spatial == "none":
            return joined
        flat = joined.flatten(1)
        size = flat.sum(1) if self.spatial == "sum" else flat.max(1).values
        return joined / size.clamp_min(_TINY)[:, None, None]


@dataclass(frozen=True, eq=False)
class Concepts:
    """The concepts of every prompt of a run.

    of:    for each prompt what was found in it; nothing for prompts that are left alone.
    texts: for each prompt the positions of its own words.
    kept:  positions over which `sharp` takes its softmax.
    """

    of: tuple[tuple[Found, ...], ...]
    texts: tuple[tuple[int, ...], ...]
    kept: tuple[tuple[int, ...], ...]
    images: int

    @classmethod
    def find(
        cls,
        control: str,
        concepts: Sequence[Concept],
        prompts: Prompts,
        *,
        first: int = 0,
        argument: str = "concepts",
    ) -> Concepts:
        """Looks them up in every prompt from number `first` on.

        ValueError for one that no prompt has, that is empty, holds a start, end or padding token,
        or shares a token with another one.
        """
        if isinstance(concepts, str) or not concepts:
            raise ValueError(
                f"{argument}: came {concepts!r}; expected words of the prompt for {control}"
            )
        words = prompts.texts is not None or any(map(_is_word, concepts))
        texts = prompts.tokenized(control) if words else None
        of: list[list[Found]] = [[] for _ in range(prompts.count)]
        for concept in concepts:
            for prompt, found in _homes(concept, prompts, texts, first, argument).items():
                of[prompt].append(found)
        for prompt, own in enumerate(of):
            _check_apart(own, prompts, prompt, argument)
        inside = [_inside(text) for text in texts] if texts is not None else []
        return cls(
            of=tuple(map(tuple, of)),
            texts=tuple(inside),
            kept=tuple(_kept(text) for text in texts or ()),
            images=prompts.images,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the concepts of all prompts, each once."""
        return tuple(dict.fromkeys(found.name for own in self.of for found in own))

    def columns(self, renorm: str, more: Sequence[Sequence[int]] = ()) -> Columns:
        """What must be recorded for `maps`.    more: further positions for each prompt."""
        if renorm != "none" and not self.texts:
            raise ValueError(
                f"renorm: {renorm!r} needs to know the prompt, and only embeddings came; expected "
                "'none', or prompt="
            )
        words: list[Word] = []
        for prompt, own in enumerate(self.of):
            if not own:
                continue
            tokens = [t for found in own for t in found.tokens]
            tokens += more[prompt] if more else ()
            if renorm == "sharp":
                tokens += self.kept[prompt]
            words += [Word(prompt, _name(t), (t,)) for t in dict.fromkeys(tokens)]
            if renorm == "linear":
                words.append(Word(prompt, _TEXT, self.texts[prompt]))
        return Columns(tuple(words))

    def each(self, maps: Maps, loss: Callable[[tuple[int, int], Maps], Tensor | None]) -> Tensor:
        """[P·n]: the loss of each picture, named by (prompt, image); None is zero."""
        places = [(p, i) for p in range(len(self.of)) for i in range(self.images)]
        found = [loss(place, maps) if self.of[place[0]] else None for place in places]
        known = next((value for value in found if value is not None), torch.zeros(()))
        return torch.stack([torch.zeros_like(known) if v is None else v for v in found])

    def tokens(
        self, maps: Maps, place: tuple[int, int], positions: Sequence[int], renorm: str
    ) -> Tensor:
        """Renormalised maps of single tokens, [T, h, w]."""
        prompt, image = place

        def column(name: str) -> Tensor:
            return maps.get(name, prompt=prompt, image=image)

        if renorm == "sharp":
            kept = list(dict.fromkeys((*self.kept[prompt], *positions)))
            every = torch.stack([column(_name(t)) for t in kept])
            sharp = (_SHARPNESS * every).softmax(0)
            return torch.stack([sharp[kept.index(t)] for t in positions])
        found = torch.stack([column(_name(t)) for t in positions])
        return found if renorm == "none" else found / column(_TEXT).clamp_min(_TINY)

    def maps(self, maps: Maps, place: tuple[int, int], reading: Reading) -> Tensor:
        """[K, h, w], in the order of `of`."""
        own = self.of[place[0]]
        positions = [t for found in own for t in found.tokens]
        tokens = self.tokens(maps, place, positions, reading.renorm)
        return reading.concepts(tokens.split([len(found.tokens) for found in own]))


def smoothed(maps: Tensor) -> Tensor:
    """[K, h, w] under the 3 x 3 kernel; ValueError for a grid of one row or column."""
    if min(maps.shape[-2:]) < 2:
        raise ValueError(
            f"smooth: came maps of {tuple(maps.shape[-2:])}; expected 2 rows and columns or more, "
            "or smooth=False"
        )
    line = torch.tensor([-1.0, 0.0, -1.0], dtype=torch.float64).exp().to(maps)
    kernel = line[:, None] * line
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(padded, (kernel / kernel.sum())[None, None])[:, 0]


_TEXT = "all words"


def _name(position: int) -> str:
    return f"token {position}"


def _is_word(concept: Concept) -> bool:
    return isinstance(concept, str) or (isinstance(concept, tuple) and str in map(type, concept))


def _homes(
    concept: Concept,
    prompts: Prompts,
    texts: Sequence[TokenizedText] | None,
    first: int,
    argument: str,
) -> dict[int, Found]:
    """The prompts that have the concept, and where."""
    if isinstance(concept, str):
        assert texts is not None
        found = found_in(texts[first:], concept)
        return {first + p: Found(concept, tokens) for p, tokens in found.items()}
    if isinstance(concept, tuple) and len(concept) == 2 and isinstance(concept[0], str):
        assert texts is not None
        word, occurrence = concept
        named = f"{word} ({occurrence})"
        some, missing = {}, None
        for prompt in range(first, prompts.count):
            try:
                tokens = texts[prompt].find(word, occurrence).indices
                some[prompt] = Found(named, tokens)
            except MissingWordError as error:
                missing = error
        if not some and missing is not None:
            raise missing
        return some
    positions = (concept,) if isinstance(concept, int) else concept
    if not positions or any(type(t) is not int for t in positions):
        raise ValueError(
            f"{argument}: came {concept!r}; expected a word, (word, occurrence) or token positions"
        )
    for prompt in range(first, prompts.count):
        allowed = _inside(texts[prompt]) if texts is not None else _middle(prompts)
        wrong = [t for t in positions if t not in allowed]
        if wrong or len(set(positions)) < len(positions):
            raise ValueError(
                f"{argument}: came position {wrong[0] if wrong else concept!r} for prompt "
                f"{prompt}; expected different ones of {_range(allowed)}, which are its words"
            )
    found_at = Found("token " + ", ".join(map(str, positions)), tuple(positions))
    return dict.fromkeys(range(first, prompts.count), found_at)


def _inside(text: TokenizedText) -> tuple[int, ...]:
    """Positions of the prompt's own words."""
    return tuple(b.offset + i for b in text.blocks for i in range(b.first, b.last))


def _kept(text: TokenizedText) -> tuple[int, ...]:
    """All positions but start tokens and the last of each encoder."""
    return tuple(b.offset + i for b in text.blocks for i in range(b.first, b.length - 1))


def _middle(prompts: Prompts) -> tuple[int, ...]:
    return tuple(b.offset + i for b in prompts.blocks for i in range(1, b.length - 1))


def _range(positions: Sequence[int]) -> str:
    return f"{positions[0]} to {positions[-1]}" if positions else "none"


def _check_apart(own: Sequence[Found], prompts: Prompts, prompt: int, argument: str) -> None:
    for a, b in combinations(own, 2):
        both = sorted(set(a.tokens) & set(b.tokens))
        if both:
            text = "" if prompts.texts is None else f" {prompts.texts[prompt]!r}"
            raise ValueError(
                f"{argument}: {a.name!r} and {b.name!r} share the tokens {both} of prompt{text}; "
                "expected concepts apart from each other, such as ('cat', 1) and ('cat', 2)"
            )
