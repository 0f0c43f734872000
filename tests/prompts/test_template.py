"""A text within a chat template: its words are counted from behind what is dropped in front."""

from __future__ import annotations

from typing import Any

import pytest

from attention_studio.processors.prompts import TextBlock, tokenize
from attention_studio.processors.prompts.align import refinement_map, replacement_map

FORM = "<user>draw\n{}</user>\nnow"  # as Qwen's, it ends a line where the text begins


def block(tokenizer: Any, length: int) -> TextBlock:
    dropped = len(tokenizer(FORM.partition("{}")[0]).input_ids)
    return TextBlock("chat", (tokenizer,), length, template=(FORM, dropped))


@pytest.mark.parametrize("text", ["a dog, a cat", "dog", "  big   dog"])
def test_words_are_the_tokens_that_spell_them(blank_led: Any, text: str) -> None:
    tokenizer = blank_led
    own = block(tokenizer, 60)
    read = tokenize(text, (own,)).blocks[0]
    whole = tokenizer(FORM.format(text)).input_ids
    assert own.template is not None
    assert read.ids == tuple(whole[own.template[1] :])
    found = tokenize(text, (own,)).find("dog").indices
    assert tokenizer.decode([read.ids[i] for i in found]).strip() == "dog"
    assert read.first == min(i for i, (a, b) in enumerate(read.spans) if b > a)
    assert all(a == b == 0 for a, b in read.spans[read.last :])
    assert read.cut_at is None


def test_what_is_too_long_is_cut_off_behind(blank_led: Any) -> None:
    text = "a dog and a cat"
    whole = tokenize(text, (block(blank_led, 60),)).blocks[0]
    short = tokenize(text, (block(blank_led, 8),))
    assert short.blocks[0].ids == whole.ids[:8] and short.blocks[0].last == 8
    assert short.find("dog").indices == tokenize(text, (block(blank_led, 60),)).find("dog").indices
    assert short.blocks[0].cut_words == ("cat",)
    with pytest.raises(ValueError, match="'cat' is past the limit"):
        short.find("cat")
    exact = len(whole.ids)
    assert tokenize(text, (block(blank_led, exact),)).blocks[0].ids == whole.ids


def test_an_empty_text_has_the_template_alone(blank_led: Any) -> None:
    read = tokenize("", (block(blank_led, 40),)).blocks[0]
    assert (read.first, read.last) == (0, 0) and len(read.ids) > 0


def test_what_stands_behind_the_words_moves_along(blank_led: Any) -> None:
    """The end of the template follows its own in both maps; equal texts give the identity."""
    own = block(blank_led, 40)
    source, target = (tokenize(text, (own,)) for text in ("a dog", "a horse"))
    x, y = source.blocks[0], target.blocks[0]
    swap = replacement_map(source, target)
    refined, _ = refinement_map(source, target)
    for k in range(len(x.ids) - x.last):
        assert swap[x.last + k, y.last + k] == 1 == refined[x.last + k, y.last + k]
    assert bool((swap.sum(1) == 1).all())
    same, ones = refinement_map(source, source)
    assert bool((same == same.new_ones(40).diag()).all()) and bool(ones.all())


def test_positions_that_are_nobody_s_keep_to_themselves(letters: Any) -> None:
    """SD 3 without its T5 has zeros behind CLIP's tokens."""
    own = TextBlock("clip", (letters,), 20)
    source, target = (tokenize(text, (own,), 26) for text in ("a dog", "a cat"))
    assert source.length == 26
    for token_map in (replacement_map(source, target), refinement_map(source, target)[0]):
        assert token_map.shape == (26, 26)
        assert bool((token_map[20:, 20:] == token_map.new_ones(6).diag()).all())
