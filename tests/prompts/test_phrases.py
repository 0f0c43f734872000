"""Noun phrases by rules, their nesting, and what a parser gives instead."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from attention_studio.processors.prompts.parser import phrase_spans
from attention_studio.processors.prompts.phrases import nested, noun_phrases

PHRASES = {
    "a red car and a green apple": ["a red car", "a green apple"],
    "a cat, a small blue dog": ["a cat", "a small blue dog"],
    "a big red cat to the left of a house on grass, pixel art": [
        "a big red cat",
        "a house",
        "grass",
        "pixel art",
    ],
    "two dogs next to the old wooden table": ["two dogs", "the old wooden table"],
    "a dog running in snow": ["a dog", "snow"],
    "a flying bird and a wooden king": ["a flying bird", "a wooden king"],
    "the dog is red": ["the dog", "red"],
    "a cat in front of a red top hat": ["a cat", "a red top hat"],
    "a bear-like creature's crown": ["a bear-like creature's crown"],
    "and of the": [],
    "": [],
}


@pytest.mark.parametrize("text", PHRASES)
def test_phrases(text: str) -> None:
    assert [text[slice(*phrase.span)] for phrase in noun_phrases(text)] == PHRASES[text]


def test_nouns_and_modifiers() -> None:
    text = "a small blue dog near the house"
    dog, house = noun_phrases(text)
    assert text[slice(*dog.noun)] == "dog" and text[slice(*house.noun)] == "house"
    assert [text[slice(*word)] for word in dog.modifiers] == ["small", "blue"]
    assert house.modifiers == ()


def test_nested_spans_come_outer_ones_first() -> None:
    text = "a red car and a blue bike in a garden"
    spans = nested(text, [phrase.span for phrase in noun_phrases(text)])
    found = [text[slice(*span)] for span in spans]
    assert found == ["a red car", "a blue bike in a garden", "a blue bike", "a garden"]
    assert phrase_spans(text) == spans
    apart = "a red car, in a garden"
    assert [apart[slice(*span)] for span in phrase_spans(apart)] == ["a red car", "a garden"]


def test_a_parser_is_asked_by_name_and_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a red car in rain"

    def load(name: str, exclude: list[str]) -> Any:
        if name != "small":
            raise OSError("no such model")
        chunks = [SimpleNamespace(start_char=a, end_char=b) for a, b in ((0, 9), (13, 17))]

        class Model:
            pipe_names = ("parser",)

            def __call__(self, text: str) -> Any:
                return SimpleNamespace(noun_chunks=chunks)

        return Model()

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))  # type: ignore[arg-type]
    assert phrase_spans(text, "small") == ((0, 17), (0, 9))
    with pytest.raises(ValueError, match="parser: came 'big', which cannot be loaded"):
        phrase_spans(text, "big")
    monkeypatch.setitem(sys.modules, "spacy", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 'rules', or a spaCy model"):
        phrase_spans(text, "small")
