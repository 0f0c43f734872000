"""Labelling by eye: the sheets tell nothing, and agreement is what its formula says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from attention_studio.emoji.words import CORE_NOUNS
from attention_studio.evaluate import agreement, make_sheets, read_nouns
from attention_studio.evaluate.judging import Judge


def test_sheets_labels_and_answers(
    emoji_pipe: StableDiffusionPipeline, blind: Judge, tmp_path: Path
) -> None:
    sheets = make_sheets(
        emoji_pipe,
        tmp_path,
        nouns=CORE_NOUNS,
        count=24,
        steps=1,
        batch=24,
        judge=blind,
    )
    assert [sheet.name for sheet in sheets] == ["sheet-01.png", "sheet-02.png"]
    assert Image.open(sheets[0]).width > 5 * 256
    labels = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert labels == [{"id": i + 1, "nouns": None} for i in range(24)]
    answers = read_nouns(tmp_path / "answers.jsonl")
    assert answers == {i + 1: () for i in range(24)}
    with pytest.raises(ValueError, match=r"picture 1 in labels\.jsonl has None"):
        read_nouns(tmp_path / "labels.jsonl")


def test_agreement() -> None:
    labels = {1: ["cat", "dog"], 2: ["cat"], 3: [], 4: ["car", "car"]}
    answers = {1: ["dog", "cat"], 2: ["frog"], 3: [], 4: ["car"]}
    result = agreement(labels, answers)
    assert result.pictures == 4
    assert result.f1 == pytest.approx(2 * 3 / (5 + 4))
    assert result.overlap == pytest.approx((1 + 0 + 1 + 1 / 2) / 4)
    assert result.exact == 0.5


def test_agreement_is_symmetric_and_one_for_equals() -> None:
    labels = {1: ["cat"], 2: ["dog", "frog"]}
    answers = {1: ["cat", "owl"], 2: ["frog"]}
    assert agreement(labels, answers) == agreement(answers, labels)
    assert agreement(labels, labels).f1 == agreement(labels, labels).exact == 1.0


def test_other_pictures_are_an_error() -> None:
    with pytest.raises(ValueError, match="labels: 1 pictures came for 2 answers"):
        agreement({1: ["cat"]}, {1: ["cat"], 2: []})
