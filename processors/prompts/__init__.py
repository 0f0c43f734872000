"""Words of a prompt: where they stand, which tokens they are, and which token follows which."""

from .align import Align, refinement_map, replacement_map
from .spans import MissingWordError, Occurrence, find_spans
from .tokens import TextBlock, TokenizedText, TokenSpans, Words, tokenize
from .units import shown_words

__all__ = [
    "Align",
    "MissingWordError",
    "Occurrence",
    "TextBlock",
    "TokenSpans",
    "TokenizedText",
    "Words",
    "find_spans",
    "refinement_map",
    "replacement_map",
    "shown_words",
    "tokenize",
]
