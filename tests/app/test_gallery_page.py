"""The page Gallery: paging, searching, and recipes that come back from PNGs, hostile ones too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image
from streamlit.testing.v1 import AppTest

from attention_studio.app.draft import Draft
from attention_studio.gallery import Gallery
from attention_studio.recipe import Recipe

from ..studio.test_stored import HOSTILE as STORED
from .fakes import drawn
from .reading import button, text_of

Page = Callable[..., AppTest]


def _fill(out: Path, count: int) -> Gallery:
    gallery = Gallery(out)
    for i in range(count):
        recipe = Recipe(prompts=(f"picture number {i}",), steps=1, seed=i)
        gallery.save(drawn(recipe))
    return gallery


def test_the_gallery_pages_and_finds(page: Page, out: Path) -> None:
    at = page("gallery")
    assert "No picture yet" in text_of(at)
    _fill(out, 26)
    at.run()
    assert len([b for b in at.button if b.label == "Open"]) == 24
    assert "picture number 25" in text_of(at)
    assert "picture number 0" not in text_of(at)
    button(at, "Older").click().run()
    assert len([b for b in at.button if b.label == "Open"]) == 2
    assert "picture number 0" in text_of(at)
    at.text_input[0].set_value("NUMBER 13").run()
    assert [text.value for text in at.text] == ["picture number 13"]
    at.text_input[0].set_value("<b>").run()
    assert "No prompt contains that." in text_of(at)
    assert not at.exception


def test_a_recipe_comes_out_of_the_gallery(page: Page, out: Path) -> None:
    _fill(out, 1)
    at = page("gallery")
    button(at, "Open").click().run()
    assert '"picture number 0"' in at.code[0].value
    assert button(at, "Use this recipe")  # clicked in the browser: here a dialog shuts at a rerun


def test_a_dropped_png_gives_its_recipe_back(page: Page, out: Path, tmp_path: Path) -> None:
    recipe = Draft(seed=5).recipe()
    result = drawn(recipe.model_copy(update={"steps": 1}), plain=True)
    path = Gallery(tmp_path / "elsewhere").save(result)[1]
    at = page("gallery")
    at.file_uploader[0].upload("dropped.png", path.read_bytes(), "image/png").run()
    button(at, "Use this recipe").click().run()
    assert at.session_state["used"].seed == 5
    at.file_uploader[0].upload("no.png", b"<html>not a picture", "image/png").run()
    assert not at.exception
    assert len(at.error) == 1


def test_hostile_pngs_are_refused_in_one_sentence(page: Page) -> None:
    at = page("gallery")
    for name in ("too many pixels", "a text that unpacks to 10 MB", "deep JSON", "a million parts"):
        data, says = STORED[name][0](), STORED[name][1]
        at.file_uploader[0].upload("<b>.png", data, "image/png").run()
        assert not at.exception
        (error,) = at.error
        assert says in error.value.replace("\\", "").replace("\u2060", "")


def test_files_put_in_the_place_of_pictures_leave_the_gallery_whole(page: Page, out: Path) -> None:
    _fill(out, 3)
    paths = sorted(out.rglob("*.png"))
    paths[0].write_bytes(b"<html>")
    paths[1].write_bytes(STORED["too many pixels"][0]())
    at = page("gallery")
    assert not at.exception
    assert text_of(at).count("cannot be read any more") == 2
    assert len([b for b in at.button if b.label == "Open"]) == 1


def test_a_picture_drawn_again_is_read_again(tmp_path: Path) -> None:
    from attention_studio.app.gallery_page import _small

    path = tmp_path / "a.png"
    seen = set()
    for when, colour in enumerate(("red", "blue")):
        Image.new("RGB", (8, 8), colour).save(path)
        seen.add(_small(str(path), when))
    assert len(seen) == 2
