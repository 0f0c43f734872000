"""A batch from manifest to report, on a tiny model: files, resuming, shards, selection."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from attention_studio import Recipe, Session
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.run import Batch, run_batch
from attention_studio.batch.selection import Selection
from attention_studio.stored import read_stored

from .rows import ROWS, MakeBatch, tree


@pytest.fixture
def counted(warm: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recipes each call of the session draws."""
    calls: list[int] = []
    original = warm.run_together

    def run_together(recipes: Sequence[Recipe], **more: Any) -> Any:
        calls.append(len(recipes))
        return original(recipes, **more)

    monkeypatch.setattr(warm, "run_together", run_together)
    return calls


def _lines(batch: Batch) -> list[dict[str, Any]]:
    text = (batch.journal_folder / "manifest.out.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_every_row_has_its_files(make_batch: MakeBatch, warm: Session) -> None:
    batch = make_batch(ROWS)
    found = run_batch(batch, session=warm)
    assert (found.counts.done, found.pictures, found.ended, found.failed) == (7, 12, True, False)
    ids = "swap seeds-0 seeds-1 seeds-2 plain-0 plain-1 two".split()
    assert [line["id"] for line in _lines(batch)] == ids
    home = batch.out / "pictures" / "0000"
    names = {path.name for path in (home / "swap").iterdir()}
    assert names == {
        "source.png",
        "edit.png",
        "map-0-00-cat.png",
        "map-1-01-dog.png",
        "receipt.json",
    }
    assert {p.name for p in (home / "two").iterdir()} == {
        "picture-0.png",
        "picture-1.png",
        "receipt.json",
    }
    assert not (batch.out / ".parts").exists()
    record = json.loads((home / "swap" / "receipt.json").read_text())
    assert record["receipts"][0]["effect"] in ("visible", "weak", "none")
    assert record["figures"][0]["effect"] == record["receipts"][0]["effect"]
    levels = np.asarray(Image.open(home / "swap" / "map-0-00-cat.png"))
    assert levels.dtype == np.uint16 and levels.max() > 0


def test_pictures_are_those_of_a_run_of_their_own(make_batch: MakeBatch, warm: Session) -> None:
    batch = make_batch(ROWS)
    run_batch(batch, session=warm)
    for path in sorted(batch.out.rglob("*.png")):
        if path.name.startswith("map"):
            continue
        stored = read_stored(path)
        assert stored.recipe is not None
        drawn = warm.run(stored.recipe).images[stored.index]
        assert stored.picture.image().tobytes() == drawn.convert("RGB").tobytes(), path


def test_a_finished_batch_is_not_drawn_again(
    make_batch: MakeBatch, warm: Session, counted: list[int]
) -> None:
    batch = make_batch(ROWS)
    run_batch(batch, session=warm)
    before, calls = tree(batch.out / "pictures"), len(counted)
    stamp = (batch.out / "report.html").stat().st_mtime_ns
    again = run_batch(batch, session=warm)
    assert (again.drawn, again.counts.done, len(counted)) == (0, 7, calls)
    assert tree(batch.out / "pictures") == before
    assert (batch.out / "report.html").stat().st_mtime_ns == stamp


def test_ten_thousand_finished_rows_take_no_time(
    make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: no model is loaded, no call is made."""
    from time import monotonic

    from attention_studio import session

    batch = make_batch({"prompt": f"cat {i}"} for i in range(10_000))
    stopped = run_batch(batch, stop=lambda: True)
    assert (stopped.counts.waiting, stopped.ended) == (10_000, False)
    journal = BatchJournal(batch.out)
    with journal.transaction():
        journal.change("UPDATE items SET state = 'done', pictures = 1")
        journal.change("UPDATE calls SET state = 'done'")
    journal.close()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a session was made")

    monkeypatch.setattr(session, "Session", refuse)
    run_batch(batch)  # writes the report
    start = monotonic()
    found = run_batch(batch)
    assert (found.counts.done, found.drawn) == (10_000, 0)
    assert monotonic() - start < 3


def test_calls_are_planned_once(make_batch: MakeBatch, warm: Session, counted: list[int]) -> None:
    """Stopped after each call, a batch still makes the calls of an undisturbed one."""
    rows = [{"id": f"{i}", "prompt": f"a cat {i}"} for i in range(7)]
    whole = make_batch(rows, out="whole", together=3)
    run_batch(whole, session=warm)
    assert counted == [3, 3, 1]
    counted.clear()
    parts = replace(whole, out=whole.out.with_name("parts"))
    for done in (3, 6, 7):
        heard: list[Any] = []
        found = run_batch(
            parts,
            session=warm,
            stop=lambda h=heard: bool(h),
            told=lambda o, _, h=heard: h.extend(o),
        )
        assert found.counts.done == done
    assert run_batch(parts, session=warm).ended
    assert counted == [3, 3, 1]
    assert tree(parts.out / "pictures") == tree(whole.out / "pictures")


def test_shards_together_are_the_whole(
    make_batch: MakeBatch, warm: Session, counted: list[int]
) -> None:
    whole = make_batch(ROWS, out="whole", together=2)
    run_batch(whole, session=warm)
    for i in range(3):
        shard = make_batch(ROWS, out="shards", together=2, shard=(i, 3))
        found = run_batch(shard, session=warm)
        assert found.ended and found.report.parent.name == f"shard-{i}-of-3"
    shards = make_batch(ROWS, out="shards", together=2)
    assert tree(shards.out / "pictures") == tree(whole.out / "pictures")
    counted.clear()
    merged = run_batch(shards, session=warm)
    assert (merged.counts.done, counted) == (7, [])
    assert _lines(shards) == _lines(whole)


def test_another_manifest_is_not_mixed_in(make_batch: MakeBatch, warm: Session) -> None:
    rows = [{"id": "cat", "prompt": "a cat"}, {"id": "dog", "prompt": "a dog"}]
    run_batch(make_batch(rows), session=warm)
    before = tree(make_batch(rows).out / "pictures")
    longer = [*rows, {"id": "car", "prompt": "a car"}]
    with pytest.raises(ValueError, match="manifest: it is not the one that the batch"):
        run_batch(make_batch(longer), session=warm)
    with pytest.raises(ValueError, match="batch-size: it is not"):
        run_batch(make_batch(rows, together=2), session=warm)
    found = run_batch(make_batch(longer, anew=True), session=warm)
    assert found.counts.done == 3
    after = tree(make_batch(rows).out / "pictures")
    assert {name: after[name] for name in before} == before


def test_a_changed_row_takes_the_place_of_the_old_one(
    make_batch: MakeBatch, warm: Session, counted: list[int]
) -> None:
    rows = [{"id": "cat", "prompt": "a cat"}, {"id": "dog", "prompt": "a dog"}]
    run_batch(make_batch(rows), session=warm)
    counted.clear()
    changed = make_batch([{"id": "cat", "prompt": "a cat", "seed": 4}, rows[1]], anew=True)
    run_batch(changed, session=warm)
    assert counted == [1]
    stored = read_stored(changed.out / "pictures" / "0000" / "cat" / "picture.png")
    assert stored.recipe is not None and stored.recipe.seed == 4


def test_filter_and_best_of_each_edit(make_batch: MakeBatch, warm: Session) -> None:
    batch = make_batch(ROWS, selection=Selection("changed_inside >= 0", 2, "changed_inside"))
    found = run_batch(batch, session=warm)
    lines = {line["id"]: line for line in _lines(batch)}
    seeds = [lines[f"seeds-{i}"] for i in range(3)]
    best = sorted(seeds, key=lambda line: -line["figures"][0]["changed_inside"])
    assert [line["kept"] for line in best] == [True, True, False]
    assert not lines["plain-0"]["kept"]  # a figure that is not known lets nothing through
    assert found.kept == 3
    other = run_batch(replace(batch, selection=Selection()), session=warm)
    assert (other.kept, other.drawn) == (7, 0)


def test_webdataset_shards_and_the_index(make_batch: MakeBatch, warm: Session) -> None:
    keep = Selection("changed_inside > -1")
    batch = make_batch(ROWS, wds=True, selection=keep)
    found = run_batch(batch, session=warm)
    (path,) = found.shards
    with tarfile.open(path) as tar:
        names = tar.getnames()
        inner = tar.extractfile("swap.source.png")
        assert inner is not None
        data = inner.read()
    assert len(names) == len(set(names))
    assert {name.partition(".")[0] for name in names} == {"swap", "seeds-0", "seeds-1", "seeds-2"}
    assert data == (batch.out / "pictures/0000/swap/source.png").read_bytes()
    assert Image.open(io.BytesIO(data)).size == (32, 32)
    bytes_before = path.read_bytes()
    run_batch(replace(batch, selection=Selection()), session=warm)
    run_batch(batch, session=warm)
    assert path.read_bytes() == bytes_before
    assert found.index is not None
    table = pq.read_table(found.index).to_pylist()
    assert [row["id"] for row in table] == [line["id"] for line in _lines(batch)]
    assert table[0]["files"] and table[0]["changed_inside"] is not None


def test_embeddings_of_repeated_prompts_are_kept(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attention_studio.batch import drawer

    made: list[Any] = []
    original = drawer.Embeddings

    def make() -> Any:
        made.append(original())
        return made[-1]

    monkeypatch.setattr(drawer, "Embeddings", make)
    rows = [{"id": "a", "prompt": "a cat", "to": "a dog", "seeds": 4}]
    batch = make_batch(rows)
    run_batch(batch, session=warm)
    assert (made[0].hits, made[0].misses) == (3, 1)
    picture = batch.out / "pictures/0000/a-3/edit.png"
    recipe = read_stored(picture).recipe
    assert recipe is not None
    drawn = warm.run(recipe).images[1].convert("RGB")
    assert read_stored(picture).picture.image().tobytes() == drawn.tobytes()
    assert "encode_prompt" not in vars(warm.pipe)
