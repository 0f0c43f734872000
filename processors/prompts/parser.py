"""Spans of a prompt's phrases: by our rules, or by a spaCy model that is on this machine."""

from __future__ import annotations

from importlib import import_module

from .phrases import nested, noun_phrases
from .units import Span

__all__ = ["phrase_spans"]


def phrase_spans(text: str, parser: str = "rules") -> tuple[Span, ...]:
    """Noun phrases of two words or more, and pairs that prepositions join; outer ones first.

    parser: "rules", or what `spacy.load` takes: the name of an installed model, or its folder.
            Nothing is ever fetched; ValueError when it is not there.
    """
    if parser == "rules":
        found = tuple(phrase.span for phrase in noun_phrases(text))
    else:
        found = _noun_chunks(text, parser)
    return nested(text, found)


def _noun_chunks(text: str, model: str) -> tuple[Span, ...]:
    try:
        nlp = import_module("spacy").load(model, exclude=["ner"])
    except (ImportError, OSError) as error:
        raise ValueError(
            f"parser: came {model!r}, which cannot be loaded ({error}); expected 'rules', or a "
            "spaCy model with a parser that is installed"
        ) from error
    if not {"parser"} <= set(nlp.pipe_names):
        raise ValueError(f"parser: the spaCy model {model!r} has no parser; expected one that has")
    return tuple((chunk.start_char, chunk.end_char) for chunk in nlp(text).noun_chunks)
