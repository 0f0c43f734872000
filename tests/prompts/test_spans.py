"""Words are found as whole units, whatever the script, the case or the way they are composed."""

from __future__ import annotations

import unicodedata

import pytest

from attention_studio.processors.prompts import MissingWordError, find_spans, shown_words


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("a cat, a dog", "cat", ["cat"]),
        ("a category of cats and a concatenation", "cats", ["cats"]),
        ("A Cat and a CAT", "cat", ["Cat", "CAT"]),
        ("a  black\n\tcat", "Black cat", ["black\n\tcat"]),
        ("(cat)", "cat", ["cat"]),
        ("the cat's ear", "cat", ["cat"]),
        ("a cat's toy, a cat-like dog and a cat", "cat", ["cat", "cat"]),
        ("the cat’s ear", "cat's", ["cat’s"]),
        ("a cat-like dog", "cat-like", ["cat-like"]),
        ("a cat-like dog", "cat", ["cat"]),
        ("a cat-like dog and a cat", "cat", ["cat"]),
        ("5 o'clock on the clock", "clock", ["clock"]),
        ("l’avion", "avion", ["avion"]),
        ("blue_cat", "cat", ["cat"]),
        ("half‑timbered house", "half-timbered", ["half‑timbered"]),
        ("une CRÈME brûlée", "crème", ["CRÈME"]),
        ("STRASSE und Straße", "straße", ["STRASSE", "Straße"]),
        ("a ﬁsh", "fish", ["ﬁsh"]),
        ("一只黑猫和白猫", "猫", ["猫", "猫"]),
        ("一只黑猫和白猫", "黑猫", ["黑猫"]),
        ("cat猫cat", "cat", ["cat", "cat"]),
        ("黒いネコとイヌ", "ネコ", ["ネコ"]),
        ("バスケットとバス", "バス", ["バス"]),
        ("고양이가 고양이", "고양이", ["고양이"]),
        ("고양이가 있다", "고양이", ["고양이"]),
        ("แมวดำ", "แมว", ["แมว"]),
        ("👩‍👩‍👧 and 👩", "👩", ["👩"]),
        ("👍🏽 👍", "👍", ["👍"]),
        ("🇩🇪🇫🇷", "🇫🇷", ["🇫🇷"]),
        ("I ❤️ cats", "❤", ["❤️"]),
        ("😀😀 😀", "😀", ["😀", "😀", "😀"]),
        ("ha ha ha", "ha ha", ["ha ha"]),
        ("a cat", " cat ", ["cat"]),
        ("cat , dog", ",", [","]),
    ],
)
def test_a_word_is_found_as_a_whole(text: str, word: str, found: list[str]) -> None:
    assert [text[a:b] for a, b in find_spans(text, word)] == found


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a category", "cat"),
        ("concatenate", "cat"),
        ("in 2024", "2"),
        ("4k", "k"),
        ("👩‍👩‍👧", "👩"),
        ("👩‍👩‍👧", "👧"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴"),
        ("🇩🇪🇫🇷", "🇪🇫"),
        ("cafe\u0301", "cafe"),
        ("बिल्ली", "बिल"),
        ("", "cat"),
        ("red and cat", "red cat"),
    ],
)
def test_a_part_of_a_word_is_not_found(text: str, word: str) -> None:
    with pytest.raises(MissingWordError, match="is not in the prompt"):
        find_spans(text, word)


@pytest.mark.parametrize("in_text", ["NFC", "NFD"])
@pytest.mark.parametrize("in_word", ["NFC", "NFD"])
@pytest.mark.parametrize("word", ["café", "Zürich", "Ångström", "ねこが", "한국", "Łódź", "ệ"])
def test_composition_makes_no_difference(word: str, in_text: str, in_word: str) -> None:
    text = unicodedata.normalize(in_text, f"the {word}, again")
    ((start, end),) = find_spans(text, unicodedata.normalize(in_word, word))
    assert text[start:end] == unicodedata.normalize(in_text, word)


def test_repeated_words_are_counted_from_the_left() -> None:
    text = "a cat, a Cat and a cat-like dog next to a cat"
    spans = find_spans(text, "cat")
    assert [start for start, _ in spans] == [2, 9, 42]
    assert [find_spans(text, "cat", i) for i in (1, 2, 3)] == [(span,) for span in spans]
    with pytest.raises(ValueError, match=r"^occurrence: 4 was asked .* 'cat' stands 3 times in"):
        find_spans(text, "cat", 4)


def test_a_word_may_stand_inside_a_phrase() -> None:
    text = "a black cat"
    assert find_spans(text, "black cat") == ((2, 11),)
    assert find_spans(text, "cat") == ((8, 11),)


def test_every_word_is_found_wherever_it_stands(
    words: tuple[str, ...], fillers: tuple[str, ...]
) -> None:
    for word in words:
        for before in ("", "qux ", "qux  zorp, ", '"', "(wug) "):
            for after in ("", " blim", ", fnord", '"', "!"):
                text = before + word + after
                assert (len(before), len(before + word)) in find_spans(text, word), text
        with pytest.raises(ValueError, match="is not in the prompt"):
            find_spans(" ".join(fillers), word)


def test_a_missing_word_is_named_with_what_is_there_and_what_is_close() -> None:
    with pytest.raises(ValueError) as error:
        find_spans("a big tiger, riding a t-shirt 😀 黑猫", "tigre")
    assert str(error.value) == (
        "word: 'tigre' is not in the prompt 'a big tiger, riding a t-shirt 😀 黑猫', "
        "whose words are: a, big, tiger, riding, t-shirt, 😀, 黑猫; did you mean 'tiger'?"
    )


def test_a_long_prompt_is_not_repeated_in_full() -> None:
    with pytest.raises(ValueError) as error:
        find_spans(" ".join(f"word{i}" for i in range(2000)), "cat")
    assert len(str(error.value)) < 1000
    assert "… (1960 more)" in str(error.value)


@pytest.mark.parametrize("word", ["", "  ", None, 3])
def test_a_word_must_be_one(word: object) -> None:
    with pytest.raises(ValueError, match=r"^word: expected a word or phrase"):
        find_spans("a cat", word)  # type: ignore[arg-type]


@pytest.mark.parametrize("occurrence", [0, -1, "first", 1.0, True])
def test_an_occurrence_is_a_number_or_all(occurrence: object) -> None:
    with pytest.raises(ValueError, match=r"^occurrence: expected 1, 2, … or 'all'"):
        find_spans("a cat", "cat", occurrence)  # type: ignore[arg-type]


def test_words_are_shown_without_punctuation() -> None:
    text = "A cat's -- t-shirt, 黑猫。'quoted' ❤️😀 rock'n'roll!"
    shown = [text[a:b] for a, b in shown_words(text)]
    assert shown == ["A", "cat's", "t-shirt", "黑猫", "quoted", "❤️", "😀", "rock'n'roll"]
