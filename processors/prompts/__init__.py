"""Words of a prompt: where they stand and which tokens they are. `align` alone needs torch."""

from .spans import MissingWordError, Occurrence, find_spans, says
from .tokens import TextBlock, TokenizedText, TokenSpans, Words, tokenize
from .units import shown_words

__all__ = [
    "MissingWordError",
    "Occurrence",
    "TextBlock",
    "TokenSpans",
    "TokenizedText",
    "Words",
    "find_spans",
    "says",
    "shown_words",
    "tokenize",
]
