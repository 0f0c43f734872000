"""Words become the tokens that spell them, in every kind of tokenizer and in several encoders."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from transformers.utils import logging

from attention_studio.processors.prompts import (
    MissingWordError,
    TextBlock,
    TokenizedText,
    Words,
    tokenize,
)

Reader = Callable[[str, int], TokenizedText]


def _content(tokenizer: Callable[..., Any], text: str) -> list[int]:
    """Ids of a text alone, without start and end token: these tokenizers split at blanks first."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _expected(tokenizer: Callable[..., Any], block: TextBlock, before: str, word: str) -> list[int]:
    start = tokenize("", (block,)).blocks[0].first + len(_content(tokenizer, before))
    return list(range(start, start + len(_content(tokenizer, word))))


def test_the_kinds_split_words_in_every_way(
    letters: Any, world: Any, pieces: Any, plain_words: tuple[str, ...]
) -> None:
    counts = [{len(_content(kind, w)) for w in plain_words} for kind in (letters, world, pieces)]
    assert max(counts[0]) > 10
    assert counts[1] == {1}
    assert {1, 2, 3, 4} <= counts[2]


def test_every_word_is_the_tokens_that_spell_it(
    tokenizer: Callable[..., Any],
    block: TextBlock,
    words: tuple[str, ...],
    fillers: tuple[str, ...],
    dice: random.Random,
) -> None:
    """Sub-tokens merged, against ids of the parts put together, which uses no offsets."""
    for word in words:
        before = " ".join(dice.choices(fillers, k=dice.randrange(4)))
        after = " ".join(dice.choices(fillers, k=dice.randrange(3)))
        text = dice.choice((" ", "  ", "\n")).join(filter(None, (before, word, after)))
        read = tokenize(text, (block,))
        found = read.find(word)
        assert list(found.indices) == _expected(tokenizer, block, before, word), text
        ids = [read.blocks[0].ids[i] for i in found.indices]
        assert ids == _content(tokenizer, word)


def test_a_repeated_word_has_the_tokens_of_the_occurrence_that_is_meant(
    tokenizer: Callable[..., Any], block: TextBlock, words: tuple[str, ...]
) -> None:
    for word in words:
        read = tokenize(f"qux {word} zorp {word} blim", (block,))
        first = _expected(tokenizer, block, "qux", word)
        second = _expected(tokenizer, block, f"qux {word} zorp", word)
        assert list(read.find(word, 1).indices) == first
        assert list(read.find(word, 2).indices) == second
        assert list(read.find(word).indices) == first + second
        assert list(read.find(f"{word} zorp").indices) == [
            *first,
            *_expected(tokenizer, block, f"qux {word}", "zorp"),
        ]


def test_punctuation_takes_no_token_from_a_word_and_gives_none(
    tokenizer: Callable[..., Any], block: TextBlock, plain_words: tuple[str, ...]
) -> None:
    for word in plain_words:
        bare = tokenize(f"qux {word} zorp", (block,))
        text = tokenize(f"qux {word}, zorp", (block,))
        assert text.find(word).indices == bare.find(word).indices
        assert len(text.find(f"{word},").indices) == len(text.find(word).indices) + 1


def test_unspaced_words_in_bytes_and_in_characters(letters: Any, pieces: Any) -> None:
    text = "一只黑猫和花"
    (of_bytes,) = tokenize(text, (TextBlock("clip", (letters,), 77),)).find("黑猫").columns
    assert of_bytes == tuple(range(1 + 3 * 2, 1 + 3 * 4))
    (of_characters,) = tokenize(text, (TextBlock("t5", (pieces,), 77),)).find("猫").columns
    assert of_characters == (1 + 3,)  # behind the piece for the blank before the text


def test_bytes_of_emoji_stay_together(letters: Any) -> None:
    family = "👩‍👩‍👧"
    read = tokenize(f"a {family} cat", (TextBlock("clip", (letters,), 77),))
    assert read.find(family).indices == tuple(range(2, 2 + len(family.encode())))
    assert read.find("cat").indices == tuple(
        range(2 + len(family.encode()), 5 + len(family.encode()))
    )


def test_blanks_inside_pieces(metaspace: Any, blank_led: Any) -> None:
    t5 = tokenize("a dog, cat", (TextBlock("t5", (metaspace,), 16),))
    pieces = metaspace.convert_ids_to_tokens(t5.blocks[0].ids)
    assert pieces == ["▁", "a", "▁dog", ",", "▁", "c", "a", "t", "</s>"]
    assert t5.find("dog").indices == (2,)
    assert t5.find("cat").indices == (4, 5, 6, 7)
    chat = tokenize("a dog, cat", (TextBlock("chat", (blank_led,), 16),))
    assert chat.find("dog").indices == (1,)
    assert (chat.blocks[0].first, chat.blocks[0].last) == (0, len(chat.blocks[0].ids))


def test_a_special_token_typed_by_a_person_is_text(letters: Any) -> None:
    read = tokenize("<|endoftext|> cat", (TextBlock("clip", (letters,), 77),))
    assert (read.blocks[0].first, read.blocks[0].last) == (1, 5)
    assert read.find("cat").indices == (2, 3, 4)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_prompt_has_start_and_end_only(letters: Any, pieces: Any, text: str) -> None:
    blocks = (TextBlock("clip", (letters,), 77), TextBlock("t5", (pieces,), 77, 77))
    clip, t5 = tokenize(text, blocks).blocks
    assert (clip.first, clip.last, len(clip.ids)) == (1, 1, 2)
    assert (t5.first, t5.last, len(t5.ids)) == (0, 0, 1)


@pytest.mark.parametrize("length", [3, 8, 48, 77])
def test_what_is_kept_is_what_the_encoder_gets(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random, length: int
) -> None:
    block = TextBlock("text", (tokenizer,), length)
    for _ in range(40):
        text = " ".join(dice.choices(words, k=dice.randrange(40)))
        kept = tokenize(text, (block,)).blocks[0]
        truncated = tokenizer(text, truncation=True, max_length=length)["input_ids"]
        assert list(kept.ids) == truncated
        assert len(kept.spans) == len(kept.ids) <= length
        assert (kept.cut_at is None) == (len(_content(tokenizer, text)) == kept.last - kept.first)


def test_words_past_the_limit_are_listed_and_cannot_be_controlled(of_world: Reader) -> None:
    text = "a red cat on grass, a blue dog in the snow"
    read = of_world(text, 8)
    assert read.blocks[0].cut_words == ("a", "blue", "dog", "in", "the", "snow")
    assert read.find("cat").indices == (3,)
    with pytest.raises(ValueError) as error:
        read.find("dog")
    assert str(error.value) == (
        f"word: 'dog' is past the limit of the text encoder (clip: 8 tokens) in {text!r}; "
        "expected a word that is kept, so shorten the prompt"
    )
    assert not isinstance(error.value, MissingWordError)
    with pytest.raises(ValueError, match="past the limit"):
        read.find("a")  # all of them: the second is cut
    assert read.find("a", 1).indices == (1,)
    assert of_world(text, 48).blocks[0].cut_words == ()


def test_a_word_cut_in_two_is_cut(letters: Any) -> None:
    read = tokenize("a cat", (TextBlock("clip", (letters,), 5),))
    assert read.blocks[0].cut_words == ("cat",)
    with pytest.raises(ValueError, match="'cat' is past the limit"):
        read.find("cat")


def test_two_clip_encoders_share_positions(world: Any, letters: Any) -> None:
    both = tokenize("a red cat", (TextBlock("clip", (world, world), 77),))
    assert both.find("cat") == Words("cat", ((6, 9),), ((3,),))
    with pytest.raises(ValueError, match=r"'clip' share positions but split 'a red cat' diff"):
        tokenize("a red cat", (TextBlock("clip", (world, letters), 77),))


def test_a_word_occurs_in_each_block(world: Any, pieces: Any) -> None:
    """SD3: 77 CLIP positions, then T5's; a word that one of them keeps whole can be controlled."""
    blocks = (TextBlock("clip", (world, world), 77), TextBlock("t5", (pieces,), 256, 77))
    read = tokenize("a red cat", blocks)
    assert read.length == 333
    cat = read.find("cat")
    assert cat.columns[0] == (3,)
    assert [read.blocks[1].ids[i - 77] for i in cat.columns[1]] == _content(pieces, "cat")
    assert cat.indices == cat.columns[0] + cat.columns[1]

    long = tokenize("a red cat " * 30 + "dog", blocks)
    assert long.blocks[0].cut_words[-1] == "dog"
    assert long.blocks[1].cut_words == ()
    assert long.find("dog").columns[0] == ()
    assert [long.blocks[1].ids[i - 77] for i in long.find("dog").indices] == _content(pieces, "dog")


def test_equal_ids_mean_the_same_to_the_model(of_world: Reader) -> None:
    assert of_world("a  red Cat", 77).ids == of_world("a red cat", 77).ids
    assert of_world("a red cat", 77).ids != of_world("a red dog", 77).ids


def test_blocks_that_cannot_be_are_refused(letters: Any) -> None:
    with pytest.raises(ValueError, match=r"^blocks: expected at least one TextBlock, got none"):
        tokenize("a", ())
    with pytest.raises(ValueError, match="offsets that rise without overlap"):
        tokenize("a", (TextBlock("x", (letters,), 77), TextBlock("y", (letters,), 77, 76)))
    with pytest.raises(ValueError, match="expected at least one tokenizer each"):
        tokenize("a", (TextBlock("x", (), 77),))
    with pytest.raises(ValueError, match="leaves no room for text beside 2 start and end tokens"):
        tokenize("a", (TextBlock("x", (letters,), 2),))


def test_a_tokenizer_without_offsets_is_refused() -> None:
    def slow(text: str, **options: object) -> dict[str, list[int]]:
        raise NotImplementedError("return_offset_mapping is not available")

    with pytest.raises(ValueError, match=r"'t5' gives no character offsets; expected a fast"):
        tokenize("a", (TextBlock("t5", (slow,), 77),))


def test_no_warning_of_a_length_that_is_handled(
    letters: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = logging.get_verbosity()
    logging.set_verbosity_warning()
    try:
        letters.deprecation_warnings.clear()  # the library warns once a tokenizer
        tokenize("cat " * 200, (TextBlock("clip", (letters,), 77),))
        assert not caplog.records
        letters("cat " * 200)
        assert caplog.records, "the library no longer warns: `verbose` can go"
    finally:
        logging.set_verbosity(before)
