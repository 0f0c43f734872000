"""Laws of the alignment maps on random prompts in every kind of tokenizer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from attention_studio.processors.prompts import TextBlock, TokenizedText, tokenize
from attention_studio.processors.prompts.align import Align, refinement_map, replacement_map

Reader = Callable[[str, int], TokenizedText]
ALIGNS: tuple[Align, ...] = ("exact", "official")


def _read(tokenizer: Callable[..., Any], words: Sequence[str], length: int = 256) -> TokenizedText:
    return tokenize(" ".join(words), (TextBlock("text", (tokenizer,), length),))


def _count(tokenizer: Callable[..., Any], word: str) -> int:
    return len(tokenizer(word, add_special_tokens=False)["input_ids"])


def _swapped(words: Sequence[str], source: list[str], dice: random.Random) -> list[str]:
    return [dice.choice(words) if dice.random() < 0.4 else word for word in source]


@pytest.mark.parametrize("align", ALIGNS)
def test_equal_prompts_give_the_identity(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random, align: Align
) -> None:
    for _ in range(60):
        for length in (4, 77):
            text = _read(tokenizer, dice.choices(words, k=dice.randrange(12)), length)
            assert torch.equal(replacement_map(text, text, align), torch.eye(length))
            token_map, alpha = refinement_map(text, text, align)
            assert torch.equal(token_map, torch.eye(length))
            assert torch.equal(alpha, torch.ones(length))


def test_a_swap_keeps_all_attention_and_every_word_its_partner(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random
) -> None:
    """Positions here are found by counting the tokens of single words, without offsets."""
    for _ in range(100):
        source = dice.choices(words, k=dice.randrange(1, 10))
        target = _swapped(words, source, dice)
        x, y = _read(tokenizer, source), _read(tokenizer, target)
        token_map = replacement_map(x, y)
        assert token_map.dtype == torch.float32
        assert token_map.shape == (x.length, y.length)
        assert bool((token_map >= 0).all())
        torch.testing.assert_close(token_map.sum(1), torch.ones(x.length))

        row = column = x.blocks[0].first
        for a, b in zip(source, target, strict=True):
            wide, long = _count(tokenizer, a), _count(tokenizer, b)
            inside = token_map[row : row + wide, column : column + long]
            torch.testing.assert_close(inside.sum(1), torch.ones(wide))
            assert wide != long or torch.equal(inside, torch.eye(wide))
            row, column = row + wide, column + long
        assert token_map[row, column] == 1  # the end token
        pads = min(x.length - row, y.length - column)
        assert torch.equal(
            token_map[row : row + pads - 1, column : column + pads - 1], torch.eye(pads - 1)
        )


def test_a_swap_keeps_all_attention_when_the_limit_cuts(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random
) -> None:
    """A changed word past the limit is an error; what follows may be cut in either prompt."""
    refused = 0
    for _ in range(100):
        source = dice.choices(words, k=8)
        target = source.copy()
        target[dice.randrange(3)] = dice.choice(words)
        x, y = _read(tokenizer, source, 24), _read(tokenizer, target, 24)
        try:
            token_map = replacement_map(x, y)
        except ValueError as error:
            assert "past the limit of the text encoder" in str(error)
            assert {x.blocks[0].cut_at, y.blocks[0].cut_at} != {None}
            refused += 1
            continue
        assert bool((token_map >= 0).all())
        torch.testing.assert_close(token_map.sum(1), torch.ones(24))
    assert refused < 60


def test_official_is_exact_where_token_counts_agree(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random
) -> None:
    by_count: dict[int, list[str]] = {}
    for word in words:
        by_count.setdefault(_count(tokenizer, word), []).append(word)
    for _ in range(60):
        source = dice.choices(words, k=dice.randrange(1, 10))
        target = [dice.choice(by_count[_count(tokenizer, word)]) for word in source]
        x, y = _read(tokenizer, source), _read(tokenizer, target)
        assert torch.equal(replacement_map(x, y), replacement_map(x, y, "official"))
        assert torch.equal(replacement_map(x, y), torch.eye(x.length))


def test_official_gives_every_target_of_a_stretch_a_source(
    tokenizer: Callable[..., Any], words: tuple[str, ...], dice: random.Random
) -> None:
    """Before and in the last changed word both versions agree, unless words share an end."""
    for _ in range(60):
        source = dice.choices([word for word in words if word.isalpha()], k=4)
        target = [source[0], dice.choice(words[:60]), *source[2:]]
        x, y = _read(tokenizer, source), _read(tokenizer, target)
        last = y.blocks[0].first + sum(_count(tokenizer, word) for word in target[:2])
        exact, official = replacement_map(x, y), replacement_map(x, y, "official")
        if source[1] != target[1] and source[1].isascii():
            changed = x.blocks[0].first + sum(_count(tokenizer, word) for word in source[:2])
            assert torch.equal(exact[:changed, :last], official[:changed, :last])


def test_a_refinement_aligns_what_was_there_and_nothing_else(
    tokenizer: Callable[..., Any],
    plain_words: tuple[str, ...],
    fillers: tuple[str, ...],
    dice: random.Random,
) -> None:
    """Words put in between get alpha 0; the rest follows its own tokens, end and padding too."""
    for _ in range(100):
        kept = dice.sample(plain_words, k=dice.randrange(1, 8))
        target: list[str] = []
        for word in kept:
            target += dice.choices(fillers, k=dice.choice((0, 0, 1, 2)))
            target.append(word)
        x, y = _read(tokenizer, kept), _read(tokenizer, target)
        token_map, alpha = refinement_map(x, y)
        assert token_map.dtype == alpha.dtype == torch.float32
        assert torch.equal(token_map.sum(0), alpha)
        row = column = x.blocks[0].first
        for word in target:
            wide = _count(tokenizer, word)
            here = token_map[:, column : column + wide]
            if word in fillers:
                assert not here.any()
            else:
                assert torch.equal(here[row : row + wide], torch.eye(wide))
                row += wide
            column += wide
        assert token_map[row, column] == 1  # the end token
        assert alpha[column:].tolist() == [1.0] * (y.length - column)
        # And backwards: with words taken away every token that is left follows its own.
        back, of_all = refinement_map(y, x)
        assert torch.equal(of_all, torch.ones(x.length))
        assert torch.equal(back[:column, :row], token_map[:row, :column].T)


def test_each_encoder_has_its_own_square(world: Any, pieces: Any) -> None:
    blocks = (TextBlock("clip", (world, world), 20), TextBlock("t5", (pieces,), 30, 24))
    x, y = tokenize("a red cat runs", blocks), tokenize("a red salamander runs", blocks)
    token_map = replacement_map(x, y)
    assert token_map.shape == (54, 54)
    torch.testing.assert_close(token_map.sum(1), torch.ones(54))
    for here, block in ((slice(0, 20), blocks[0]), (slice(24, 54), blocks[1])):
        alone = (TextBlock(block.name, block.tokenizers, block.length),)
        square = replacement_map(tokenize(x.text, alone), tokenize(y.text, alone))
        assert torch.equal(token_map[here, here], square)
    outside = token_map.clone()
    outside[:20, :20] = outside[24:, 24:] = 0
    assert outside.nonzero().tolist() == [[i, i] for i in range(20, 24)]
    assert refinement_map(x, y)[1].shape == (54,)


def test_unequal_numbers_of_words_are_one_clear_sentence(of_bike: Reader) -> None:
    with pytest.raises(ValueError) as error:
        replacement_map(of_bike("a cat", 9), of_bike("a red cat", 9))
    assert str(error.value) == (
        "target: a word swap needs as many words in both prompts, got 2 in 'a cat' and 3 in "
        "'a red cat'; words are added or taken away by a refinement"
    )


def test_doubled_blanks_are_no_words(of_bike: Reader) -> None:
    token_map = replacement_map(of_bike(" a  cat ", 9), of_bike("a\tdog", 9))
    assert torch.equal(token_map, torch.eye(9))


def test_a_changed_word_must_be_kept(of_bike: Reader) -> None:
    for align in ALIGNS:
        with pytest.raises(ValueError, match=r"^source: 'bike' is past the limit"):
            replacement_map(of_bike("a red cat bike", 5), of_bike("a red cat dog", 5), align)
        with pytest.raises(ValueError, match=r"^target: 'x-y' is past the limit"):
            replacement_map(of_bike("a red cat", 5), of_bike("a red x-y", 5), align)


def test_prompts_of_different_models_are_refused(of_bike: Reader, pieces: Any) -> None:
    of_t5 = tokenize("a cat", (TextBlock("t5", (pieces,), 9),))
    for other in (of_t5, of_bike("a cat", 10)):
        with pytest.raises(ValueError, match=r"^target: expected the source's text encoders"):
            replacement_map(of_bike("a cat", 9), other)
    with pytest.raises(ValueError, match=r"^align: expected 'exact' or 'official', got 'best'"):
        refinement_map(of_t5, of_t5, "best")  # type: ignore[arg-type]
