"""From words to token positions: by character offsets, for every text encoder of a model.

The text axis of an attention call is a row of blocks, one per encoder: SD 1.x and 2.x have one CLIP
block; SDXL has one block read by two CLIP tokenizers, whose embeddings share their positions; SD3
has such a block and a T5 block behind it, so a word occurs in both; FLUX.1 has one T5 block.
A token belongs to a word when their characters overlap, so start and end tokens belong to none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .spans import Occurrence, find_spans
from .units import Span, quoted, shown_words

__all__ = ["TextBlock", "TokenSpans", "TokenizedText", "Words", "tokenize"]


@dataclass(frozen=True, eq=False)
class TextBlock:
    """Positions [offset, offset + length) of the text axis and who fills them.

    name:       how messages call it, such as "clip" or "t5".
    tokenizers: fast tokenizers; several = their embeddings share the positions (dual CLIP).
    length:     positions of the block with start, end and padding tokens: 77, 256, 512, …
    template:   what the text is written into, at "{}", and how many tokens of that are dropped in
                front; the tokens that come behind the text stay.
    """

    name: str
    tokenizers: tuple[Callable[..., Any], ...]
    length: int
    offset: int = 0
    template: tuple[str, int] | None = None


@dataclass(frozen=True)
class TokenSpans:
    """One text in one block. Positions count from the block's first one.

    ids:    what the encoder sees, start and end tokens included, padding not.
    spans:  characters of each id; empty, (0, 0), for start and end tokens.
    first:  position of the first token of the text; before it stand start tokens.
    last:   position after the last token of the text: the end token, where there is one.
    cut_at: first character that did not fit; None when all did.
    """

    block: str
    text: str
    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    first: int
    last: int
    length: int
    offset: int
    cut_at: int | None

    def overlapping(self, span: Span) -> tuple[int, ...]:
        """Positions of the kept tokens that hold a character of the span."""
        start, end = span
        here = range(self.first, self.last)
        return tuple(i for i in here if self.spans[i][0] < end and start < self.spans[i][1])

    def holds(self, span: Span) -> bool:
        """Whether the encoder sees all characters of the span."""
        return self.cut_at is None or span[1] <= self.cut_at

    @property
    def cut_words(self) -> tuple[str, ...]:
        """Words that the encoder sees in part or not at all, in order: for a warning."""
        return tuple(self.text[a:b] for a, b in shown_words(self.text) if not self.holds((a, b)))


@dataclass(frozen=True)
class Words:
    """A word or phrase of a text and the positions of its tokens on the whole text axis.

    spans:   characters of each occurrence.
    columns: for each block the sorted positions of all these occurrences.
    """

    word: str
    spans: tuple[Span, ...]
    columns: tuple[tuple[int, ...], ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """Sorted positions in all blocks together."""
        return tuple(sorted(i for columns in self.columns for i in columns))


@dataclass(frozen=True)
class TokenizedText:
    """One text in every block of a model's text axis."""

    text: str
    blocks: tuple[TokenSpans, ...]
    axis: int = 0

    @property
    def length(self) -> int:
        """Positions of the text axis: at least `axis`, where the last ones may be nobody's."""
        return max(self.axis, *(block.offset + block.length for block in self.blocks))

    @property
    def ids(self) -> tuple[tuple[int, ...], ...]:
        """Ids per block: two texts with equal ids are the same to the model."""
        return tuple(block.ids for block in self.blocks)

    def find(self, word: str, occurrence: Occurrence = "all") -> Words:
        """The word's tokens; MissingWordError when it is not in the text.

        ValueError when no block holds all of it: a controlled word must not be cut in silence.

        ours: in a model with several blocks one that holds the word whole is enough, since an
        encoder that never saw a word has nothing of it to control.
        """
        spans = find_spans(self.text, word, occurrence)
        for span in spans:
            self.require(span, "word")
        columns = [
            sorted({block.offset + i for span in spans for i in block.overlapping(span)})
            for block in self.blocks
        ]
        if not any(columns):
            raise ValueError(
                f"word: the tokenizer makes no token of {word!r} in {quoted(self.text)}"
            )
        return Words(word, spans, tuple(map(tuple, columns)))

    def require(self, span: Span, argument: str) -> None:
        """ValueError unless some block holds the whole span."""
        if not any(block.holds(span) for block in self.blocks):
            limits = ", ".join(f"{block.block}: {block.length} tokens" for block in self.blocks)
            raise ValueError(
                f"{argument}: {self.text[slice(*span)]!r} is past the limit of the text encoder "
                f"({limits}) in {quoted(self.text)}; expected a word that is kept, so shorten "
                "the prompt"
            )


def tokenize(text: str, blocks: Sequence[TextBlock], axis: int = 0) -> TokenizedText:
    """The text as each block's encoder sees it; axis: positions in all, where blocks leave some."""
    end = 0
    for block in blocks:
        if not block.tokenizers or block.offset < end:
            raise ValueError(
                "blocks: expected at least one tokenizer each and offsets that rise without "
                f"overlap, got {[(b.name, len(b.tokenizers), b.offset, b.length) for b in blocks]}"
            )
        end = block.offset + block.length
    if not blocks:
        raise ValueError("blocks: expected at least one TextBlock, got none")
    return TokenizedText(text, tuple(_read(text, block) for block in blocks), axis)


def _read(text: str, block: TextBlock) -> TokenSpans:
    readings = [_read_by(text, block, tokenizer) for tokenizer in block.tokenizers]
    for other in readings[1:]:
        if (other.ids, other.spans) != (readings[0].ids, readings[0].spans):
            raise ValueError(
                f"blocks: the tokenizers of {block.name!r} share positions but split "
                f"{quoted(text)} differently, into ids {readings[0].ids} and {other.ids}; "
                "expected equal ones"
            )
    return readings[0]


def _read_by(text: str, block: TextBlock, tokenizer: Callable[..., Any]) -> TokenSpans:
    if block.template is not None:
        return _read_within(text, block, tokenizer, *block.template)
    encoded = _encoded(text, block, tokenizer)
    ids, special = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    content = [i for i, mark in enumerate(special) if not mark]
    first = content[0] if content else _start_tokens(tokenizer)
    last = content[-1] + 1 if content else first
    extra = first + len(ids) - last
    if block.length <= extra:
        raise ValueError(
            f"blocks: length {block.length} of {block.name!r} leaves no room for text beside "
            f"{extra} start and end tokens; expected a greater length"
        )
    spans = _owned_blanks(text, [tuple(s) for s in encoded["offset_mapping"]], encoded.word_ids())
    kept = min(last, block.length - (len(ids) - last))
    return TokenSpans(
        block=block.name,
        text=text,
        ids=tuple(ids[:kept] + ids[last:]),
        spans=tuple([(0, 0)] * first + spans[first:kept] + [(0, 0)] * (len(ids) - last)),
        first=first,
        last=kept,
        length=block.length,
        offset=block.offset,
        cut_at=None if kept == last else spans[kept][0],
    )


def _read_within(
    text: str, block: TextBlock, tokenizer: Callable[..., Any], form: str, dropped: int
) -> TokenSpans:
    """The text within a template; whatever stands behind the block's length is cut off."""
    before, _, after = form.partition("{}")
    start, end = len(before), len(before) + len(text)
    encoded = _encoded(before + text + after, block, tokenizer)
    within = [a < end and start < b for a, b in encoded["offset_mapping"]][dropped:]
    spans = [
        (max(a - start, 0), min(b, end) - start) if own else (0, 0)
        for (a, b), own in zip(encoded["offset_mapping"][dropped:], within, strict=True)
    ]
    spans = _owned_blanks(text, spans, encoded.word_ids()[dropped:])
    content = [i for i, own in enumerate(within) if own]
    first, last = (content[0], content[-1] + 1) if content else (0, 0)
    kept = min(last, block.length)
    return TokenSpans(
        block=block.name,
        text=text,
        ids=tuple(encoded["input_ids"][dropped : dropped + block.length]),
        spans=tuple(spans[: block.length]),
        first=first,
        last=kept,
        length=block.length,
        offset=block.offset,
        cut_at=None if kept == last else spans[kept][0],
    )


def _encoded(text: str, block: TextBlock, tokenizer: Callable[..., Any]) -> Any:
    try:
        # Not truncated, to know what is lost; verbose would warn about that very length.
        return tokenizer(
            text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
    except NotImplementedError:
        raise ValueError(
            f"blocks: {type(tokenizer).__name__} of {block.name!r} gives no character offsets; "
            "expected a fast tokenizer"
        ) from None


def _start_tokens(tokenizer: Callable[..., Any]) -> int:
    """How many tokens stand before the text, learnt from a text that is not empty."""
    marks = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((i for i, mark in enumerate(marks) if not mark), 0)


def _owned_blanks(text: str, spans: list[Span], word_ids: list[int | None]) -> list[Span]:
    """Gives a token that is only the blank before its word ("▁" before "c") to that word."""
    for i in reversed(range(len(spans) - 1)):
        blank = not text[slice(*spans[i])].strip()
        if blank and word_ids[i] is not None and word_ids[i] == word_ids[i + 1]:
            spans[i] = spans[i + 1]
    return spans
