"""The gallery: files that carry their recipe, an index that can be lost, nothing half-written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attention_studio.gallery import Gallery
from attention_studio.parameters_text import parse_parameters
from attention_studio.result import Result


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery(tmp_path / "out")


def test_an_edit_is_kept_source_first(gallery: Gallery, edit_run: Result) -> None:
    paths = gallery.save(edit_run)
    names = [path.name for path in paths]
    digest = edit_run.recipe.digest
    assert names == [
        f"000000-5-a-cat-on-grass-{digest}.png",
        f"000001-5-a-dog-on-grass-{digest}.png",
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", path.parent.name) for path in paths)
    for i, (path, role) in enumerate(zip(paths, ("source", "edit"), strict=True)):
        stored = gallery.recipe_of(path)
        assert (stored.recipe, stored.index, stored.role) == (edit_run.recipe, i, role)
        assert stored.made == edit_run.made
        assert np.array_equal(np.asarray(stored.picture.image()), np.asarray(edit_run.images[i]))
    plain = paths[1].with_name(paths[1].name.replace(".png", "-plain.png"))
    alone = gallery.recipe_of(plain.read_bytes())
    assert alone.role == "plain" and alone.recipe is not None
    assert (alone.recipe.controls, alone.recipe.prompts) == ((), ("a dog on grass",))


def test_web_uis_can_read_it(gallery: Gallery, edit_run: Result) -> None:
    with Image.open(gallery.save(edit_run)[1]) as image:
        found = parse_parameters(image.text["parameters"])  # type: ignore[attr-defined]
    assert found.prompt == "a dog on grass"
    assert list(found.settings)[:6] == ["Steps", "Sampler", "CFG scale", "Seed", "Size", "Model"]
    assert found.settings["Sampler"] == "DDIM"
    assert found.settings["Size"] == "32x32"


def test_newest_first_and_found_by_text(gallery: Gallery, edit_run: Result) -> None:
    gallery.save(edit_run)
    later = edit_run.recipe.model_copy(update={"seed": 6})
    gallery.save(replace(edit_run, recipe=later))
    found = gallery.newest()
    assert [(e.seed, e.role) for e in found] == [
        (6, "source"), (6, "edit"), (5, "source"), (5, "edit"),
    ]  # fmt: skip
    assert [e.seed for e in gallery.newest(2, 1)] == [6, 5]
    assert [e.prompt for e in gallery.newest(text="DOG")] == ["a dog on grass"] * 2
    assert gallery.newest(text="%") == []
    assert len(gallery.newest(plain=True)) == 6
    assert found[0].size == (32, 32) and found[0].run == later.digest


def test_the_same_run_again_is_the_same_entry(gallery: Gallery, edit_run: Result) -> None:
    assert gallery.save(edit_run) == gallery.save(edit_run)
    assert len(gallery.newest(plain=True)) == 3


@pytest.mark.parametrize("how", ["lost", "damaged", "empty"])
def test_a_lost_index_is_made_anew(gallery: Gallery, edit_run: Result, how: str) -> None:
    gallery.save(edit_run)
    before = [replace(entry, created=0.0) for entry in gallery.newest(plain=True)]
    index = gallery.folder / "gallery.sqlite"
    if how == "lost":
        index.unlink()
    else:
        index.write_bytes(b"SQLite no more" * 100 if how == "damaged" else b"")
    if how == "empty":  # a valid base without rows
        assert gallery.newest() == []
        assert gallery.rebuild() == 3
    (gallery.folder / "2020-01-01").mkdir()
    (gallery.folder / "2020-01-01" / "foreign.png").write_bytes(b"no picture")
    after = [replace(entry, created=0.0) for entry in gallery.newest(plain=True)]
    assert sorted(after, key=str) == sorted(before, key=str)


def test_deleted_pictures_leave_the_index(gallery: Gallery, edit_run: Result) -> None:
    paths = gallery.save(edit_run)
    paths[0].unlink()
    assert [entry.path for entry in gallery.newest(1)] == [paths[1]]


def test_nothing_half_written_stays(
    gallery: Gallery, edit_run: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Image.Image, file: object, **_: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="No space"):
        gallery.save(edit_run)
    assert not [path for path in gallery.folder.rglob("*") if path.is_file()]
    assert gallery.newest() == []


def test_the_sheet_has_source_edit_and_plain(gallery: Gallery, edit_run: Result) -> None:
    with Image.open(gallery.save_sheet(edit_run)) as three:
        size = three.size
    with Image.open(gallery.save_sheet(replace(edit_run, plain=()))) as two:
        assert two.width < size[0]
    with Image.open(gallery.save_sheet(edit_run, ["grass", "dog", "nothing"])) as mapped:
        assert mapped.height > size[1] + 2 * 256
    assert json.dumps(str(gallery.newest())) and gallery.newest() == []
