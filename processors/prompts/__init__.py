"""Words of a prompt: where they stand, which tokens they are, and which token follows which."""

from .align import Align, refinement_map, replacement_map
from .gates import gate_bounds, gate_table
from .spans import Occurrence, find_spans
from .tokens import TextBlock, TokenizedText, TokenSpans, Words, tokenize
from .units import shown_words

__all__ = [
    "Align",
    "Occurrence",
    "TextBlock",
    "TokenSpans",
    "TokenizedText",
    "Words",
    "find_spans",
    "gate_bounds",
    "gate_table",
    "refinement_map",
    "replacement_map",
    "shown_words",
    "tokenize",
]
