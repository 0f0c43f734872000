"""The contact sheet draws any caption, and its grid has the size it should have."""

from __future__ import annotations

import pytest
from PIL import Image

from attention_studio.sheet import contact_sheet, printable


def _picture(size: tuple[int, int] = (128, 128)) -> Image.Image:
    return Image.new("RGB", size, (40, 96, 232))


@pytest.mark.parametrize(
    "caption", ["a cat", "", "🐱 雪の中", "x" * 500, "word " * 300, "two\nlines", "naïve œuvre"]
)
def test_any_caption_can_be_drawn(caption: str) -> None:
    sheet = contact_sheet([_picture()], [caption], ["the cat is there"])
    assert sheet.width < 400
    assert sheet.height < 600


def test_pictures_keep_their_pixels() -> None:
    picture = Image.effect_noise((128, 128), 80).convert("RGB")
    sheet = contact_sheet([picture], [""])
    cell = sheet.crop((28, 28, 28 + 256, 28 + 256))
    assert list(cell.resize((128, 128), Image.Resampling.NEAREST).tobytes()) == list(
        picture.tobytes()
    )


def test_five_stand_in_a_row_the_sixth_below() -> None:
    five, six = (contact_sheet([_picture()] * n, ["a cat"] * n) for n in (5, 6))
    assert six.width == five.width
    assert six.height > 1.8 * five.height - 60


def test_what_the_font_lacks_is_named() -> None:
    assert printable("a 🐱\t!") == "a <U+1F431> !"
    assert printable("naïve œuvre – red ✓ · car ✗") == "naive <U+0153>uvre - red ✓ · car ✗"


def test_ticks_and_crosses_are_green_and_red() -> None:
    note = contact_sheet([_picture()], ["a cat"], ["cat ✓ · grass ✗ (snow seen)"])
    colours = {colour for _, colour in note.getcolors(100_000)}  # type: ignore[union-attr]
    assert {(30, 132, 73), (192, 57, 43)} <= colours


def test_one_caption_each() -> None:
    with pytest.raises(ValueError, match="captions: 1 came for 2 images"):
        contact_sheet([_picture()] * 2, ["a cat"])
