"""Word maps: each word of each prompt has its own, and they are held against the right mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from attention_studio.emoji import Scene
from attention_studio.emoji.train.word_maps import measure_word_maps, record_words
from attention_studio.evaluate.prompt_words import thing_words
from attention_studio.evaluate.word_report import WordOverlap, summarise
from attention_studio.processors.prompts import TextBlock, TokenizedText, tokenize

PROMPTS = ("a cat on grass", "a red dog to the left of a red ball")
HALVES = np.zeros((2, 64, 64), bool)
HALVES[0, :, :32] = HALVES[1, :, 32:] = True


def text(pipe: StableDiffusionPipeline, prompt: str) -> TokenizedText:
    return tokenize(prompt, (TextBlock("clip", (pipe.tokenizer,), 48),))


def test_words_find_their_tokens(emoji_pipe: StableDiffusionPipeline) -> None:
    words = thing_words(text(emoji_pipe, "a big red dog next to a red ball in the snow"))
    said = [(word.name, word.text, word.kind, word.thing, word.tokens) for word in words]
    assert said == [
        ("dog", "dog", "noun", 0, (4,)),
        ("red of dog", "red", "colour", 0, (3,)),
        ("ball", "ball", "noun", 1, (9,)),
        ("red of ball", "red", "colour", 1, (8,)),
    ]
    (word,) = thing_words(text(emoji_pipe, "cute balloon ball"))[1:]
    assert (word.text, word.tokens) == ("ball", (3,))


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("on grass", r"^prompts: 'on grass' names \[\]"),
        ("a cat and a cat", "^prompts: .* expected one or more different nouns"),
        ("two dogs", "^prompts: .* expected one or more different nouns"),
        ("cats", "^word: 'cat' is not in the prompt"),
    ],
)
def test_prompts_without_plain_nouns_are_an_error(
    emoji_pipe: StableDiffusionPipeline, prompt: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        thing_words(text(emoji_pipe, prompt))


def test_each_prompt_of_a_batch_has_its_own_maps(emoji_pipe: StableDiffusionPipeline) -> None:
    """The same picture with the same maps, whatever is drawn beside it."""
    both = Scene(("dog", "ball"), (None, None), ((0, 0, 1, 1),) * 2, HALVES, "grass", None)
    found = {}
    for batch in (1, 2):
        (item,) = record_words(
            emoji_pipe,
            PROMPTS,
            steps=2,
            guidance=5.0,
            seed=3,
            batch=batch,
            judge=lambda images: [both] * len(images),
        )
        found[batch] = item
    assert found[1].prompt == PROMPTS[1] and len(found[1].words) == 4
    assert {grid: tuple(maps.shape) for grid, maps in found[1].maps.items()} == {
        (16, 16): (16, 16, 4),
        (8, 8): (8, 8, 4),
    }
    for grid, maps in found[1].maps.items():
        torch.testing.assert_close(found[2].maps[grid], maps, atol=1e-6, rtol=1e-4)
        assert not torch.equal(maps[..., 1], maps[..., 3])  # each "red" has its own token


def test_the_report(emoji_pipe: StableDiffusionPipeline, tmp_path: Path) -> None:
    both = Scene(("ball", "dog"), (None, None), ((0, 0, 1, 1),) * 2, HALVES, "grass", None)
    prompts = (*PROMPTS, "a dog on grass", "a dog and a ball at night")
    report = measure_word_maps(
        emoji_pipe,
        prompts,
        steps=1,
        batch=3,
        folder=tmp_path,
        judge=lambda images: [both] * len(images),
    )
    assert (report.pictures, report.left_out) == (3, 1)  # nobody saw a cat
    row = report.figure("noun")
    assert (row.words, row.pairs, row.grid) == (5, 4, (16, 16))
    assert report.figure("colour").words == 2
    assert row.own_mass is not None and row.other_mass is not None
    assert row.own_mass + row.other_mass == pytest.approx(1, abs=1e-5)  # the halves are everything
    assert {f.grid for f in report.figures} == {(16, 16), (8, 8)}
    assert json.loads((tmp_path / "words.json").read_text())["pictures"] == 3
    assert (tmp_path / "words.md").read_text() == report.table()
    assert (tmp_path / "words.png").is_file()
    with pytest.raises(ValueError, match=r"verb at \(16, 16\) came"):
        report.figure("verb")


def test_means_and_ratios() -> None:
    rows = [
        WordOverlap((16, 16), "noun", iou, iou, 0.6, other, mass)
        for iou, other, mass in ((0.5, 0.1, 0.2), (0.7, 0.3, 0.4), (0.9, None, None))
    ]
    (row,) = summarise(rows)
    assert (row.words, row.pairs) == (3, 2)
    assert row.iou == pytest.approx(0.7)
    assert row.iou_error == pytest.approx(1.96 * 0.2 / 3**0.5)
    assert row.iou_ratio == pytest.approx(0.6 / 0.2)
    assert row.mass_ratio == pytest.approx(0.6 / 0.3)
