"""S4: whatever an id holds, its files stay below the output folder, on every system."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from attention_studio import Session
from attention_studio.batch.places import place_of
from attention_studio.batch.row import folder_name
from attention_studio.batch.run import run_batch

from .rows import MakeBatch

HOSTILE = [
    *("..", ".", "../x", "../../etc/passwd", "a/../../b", "/etc/passwd", "/", "//host/share/x"),
    *("\\\\host\\share\\x", "C:\\Windows\\x", "C:x", "c:/x", "..\\..\\x", "x\\..\\..\\y"),
    *("CON", "con", "PRN", "aux", "NUL", "COM1", "lpt9", "nul.txt", "CON.png", "com1.x"),
    *("x" * 300, "é" * 300, "x.", "x ", " x", "x...", ".hidden", "-rf", "~", "~root", "$HOME"),
    *("a\x00b", "a\nb", "a\rb", "\x1b[31m", "a\u202egnp.exe", "\u200b", "a:b", "a|b", "a*?<>", '"'),
    *(
        "file:///etc/passwd",
        "%2e%2e%2f",
        "a%00b",
        "．．／x",
        "​..",
        "😀",
        "雪",
        "\ufeff",
        "'; rm -rf /",
    ),
    *(".parts", "shards", "journal.sqlite", "pictures", "a" * 81),
]


@pytest.mark.parametrize("id", HOSTILE, ids=repr)
def test_a_name_is_one_plain_part(id: str) -> None:
    name = folder_name(id)
    assert name.isascii() and 0 < len(name) <= 80
    for path in (PurePosixPath("out") / name, PureWindowsPath("out") / name):
        assert path.parts == ("out", name)
    assert not set(name) & set('<>:"/\\|?*. ')
    assert name[0].isalnum()
    assert name.lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}


def test_hostile_ids_stay_apart() -> None:
    assert len(set(map(folder_name, HOSTILE))) == len(set(HOSTILE))
    assert len({place_of(i, folder_name(id)) for i, id in enumerate(HOSTILE)}) == len(HOSTILE)


def test_nothing_is_written_outside(make_batch: MakeBatch, warm: Session, tmp_path: Path) -> None:
    ids = [id for id in HOSTILE if id][::6]
    batch = make_batch([{"id": id, "prompt": f"a cat {i}"} for i, id in enumerate(ids)])
    before = {path for path in tmp_path.rglob("*") if batch.out not in path.parents}
    found = run_batch(batch, session=warm)
    assert found.counts.done == len(ids)
    after = {path for path in tmp_path.rglob("*") if batch.out not in path.parents}
    assert after - before == {batch.out}


def test_a_link_in_the_place_of_a_row_is_not_followed(
    make_batch: MakeBatch, warm: Session, tmp_path: Path
) -> None:
    batch = make_batch([{"id": "cat", "prompt": "a cat"}])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keep").write_text("mine")
    place = batch.out / "pictures" / "0000"
    place.mkdir(parents=True)
    (place / "cat").symlink_to(elsewhere)
    assert run_batch(batch, session=warm).counts.done == 1
    assert [path.name for path in elsewhere.iterdir()] == ["keep"]
    assert not (place / "cat").is_symlink()


def test_ids_that_differ_in_case_only_are_refused(make_batch: MakeBatch) -> None:
    batch = make_batch([{"id": "Cat", "prompt": "a cat"}, {"id": "cat", "prompt": "a dog"}])
    found = run_batch(batch, stop=lambda: True)
    assert found.refused == ((2, "id: 'cat' came in line 1 already; expected it once"),)
