"""A scene's prompt with its subjects said as in their portraits, and a story that draws it so."""

from __future__ import annotations

import pytest

from attention_studio.pipelines import Cast, Story, completed

from .test_story import LEFT, RIGHT, SIZE, halves, sd

PORTRAITS = {
    "star": "a purple star at night",
    "key": "an orange key",
    "cat": "a photo of the big, fluffy cat on grass",
    "owl": "owl",
    "space cat": "a red space cat",
    "hat": "a hat box",
}


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a star and a key on grass", "a purple star and an orange key on grass"),
        ("An owl, the key, a star", "An owl, the orange key, a purple star"),
        ("A key", "An orange key"),
        ("key", "orange key"),
        ("a sad star and a red key", "a sad star and a red key"),  # as said
        ("a key on the beach, the key", "an orange key on the beach, the key"),  # once
        ("a key ring and two stars", "a key ring and two stars"),  # other things
        ("a space cat in the sky", "a red space cat in the sky"),
        ("a hat", "a hat"),  # its portrait is of a box
        ("", ""),
    ],
)
def test_bare_mentions_take_over_the_portraits_words(prompt: str, said: str) -> None:
    assert completed(prompt, PORTRAITS) == said
    assert completed(said, PORTRAITS) == said


def test_a_comma_ends_what_belongs_to_a_noun() -> None:
    assert completed("a cat", PORTRAITS) == "a fluffy cat"


def test_a_story_draws_the_completed_prompt_unless_told_otherwise() -> None:
    cast = (Cast("cat", "a red cat on grass"), Cast("lion", "a lion on sand"))
    prompt, places = "a cat and a lion on grass", {"cat": LEFT, "lion": RIGHT}
    found = Story(sd(), cast, halves, call=SIZE).scene(prompt)
    said = "a red cat and a lion on grass"
    assert found.prompt == said and found.rehearsal is not None
    assert found.notes[0] == f"the scene was drawn as {said!r}"
    same = Story(sd(), cast, halves, call=SIZE, complete=False)
    written = same.scene(said)
    assert written.prompt == said and written.notes == found.notes[1:]
    assert written.image.tobytes() == found.image.tobytes()
    assert written.rehearsal is not None
    assert written.rehearsal.tobytes() == found.rehearsal.tobytes()
    plain = same.scene(prompt, places=places)
    assert plain.prompt == prompt and plain.image.tobytes() != found.image.tobytes()
