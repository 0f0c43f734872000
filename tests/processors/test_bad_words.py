"""Words that cannot be controlled: one clear sentence each, and no trace of the attempt."""

from __future__ import annotations

import pytest

from attention_studio.processors import (
    Control,
    Interval,
    KeepLayout,
    LocalBlend,
    RecordMaps,
    RefineWords,
    ReplaceWords,
    ReweightWords,
    Rows,
)
from attention_studio.processors.attach import attach

from .conftest import PROMPTS, Studio
from .test_stock import traces

LONG = ["a cat", "a " + "b" * 80 + " end"]  # a token a letter, 77 of them are read


@pytest.mark.parametrize(
    ("controls", "prompts", "sentence"),
    [
        ([ReplaceWords()], ["a cat"], "prompt: replace_words needs a source and at least one edit"),
        ([KeepLayout()], ["a cat"], "prompt: keep_layout needs a source"),
        ([ReweightWords({"cat": 2.0})], ["a cat"], "rows=Rows.COND_EDIT needs a source"),
        (
            [ReplaceWords()],
            ["a cat", "a big cat"],
            "^target: a word swap needs as many words in both prompts, got 2 in 'a cat' and 3 in",
        ),
        ([ReplaceWords(words={"dog": Interval()})], PROMPTS, "^word: 'dog' is not in the prompt"),
        ([RefineWords(words={"dog": Interval()})], PROMPTS, "^word: 'dog' is not in the prompt"),
        ([ReweightWords({"dog": 2.0})], PROMPTS, "^word: 'dog' is not in the prompt"),
        ([RecordMaps(("dog",))], PROMPTS, "^word: 'dog' is not in the prompt"),
        ([LocalBlend(("cat", "dog"))], PROMPTS, "^word: 'dog' is not in the prompt 'a tiger on"),
        (
            [LocalBlend(("cat", "tiger"), ("grass", "sand"))],
            PROMPTS,
            "^word: 'sand' is not in the prompt",
        ),
        ([LocalBlend(("cat",))], PROMPTS, "words: came words for 1 prompts; expected one entry"),
        ([LocalBlend()], PROMPTS, "words: came none"),
        ([RecordMaps(("end",))], ["a" * 80 + " end"], "^word: 'end' is past the limit"),
        ([ReweightWords({"end": 2.0})], LONG, "^word: 'end' is past the limit of the text enc"),
        ([LocalBlend(("cat", "end"))], LONG, "^word: 'end' is past the limit of the text encoder"),
        ([ReplaceWords()], ["a cat end", LONG[1]], "^target: .* is past the limit of the text"),
        ([ReweightWords({"cat": 2.0}, rows=Rows.ALL)], PROMPTS, "rows: re-weighting is for"),
        (
            [ReweightWords({"cat": 2.0}, prompts=(0,))],
            PROMPTS,
            r"^prompts: \[0\] came to reweight_words; expected some of 1 to 1",
        ),
    ],
)
def test_bad_words_are_one_sentence(
    controls: list[Control], prompts: list[str], sentence: str
) -> None:
    studio = Studio("sd")
    before = traces(studio.pipe)
    with pytest.raises(ValueError, match=sentence) as error, attach(studio.pipe, controls):
        studio(prompts)
    assert "\n" not in str(error.value)
    assert traces(studio.pipe) == before
