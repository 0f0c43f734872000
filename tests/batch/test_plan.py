"""Plans: grouping that only the manifest decides, shards that part it, one plan at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attention_studio.batch.entries import Maker
from attention_studio.batch.formats import Entry
from attention_studio.batch.grouping import Grouping
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.plan import Settings, plan_once

from .rows import write_manifest

WORKER = "elsewhere:1:a"


def _settings(tmp_path: Path, rows: list[object], **more: object) -> Settings:
    manifest = write_manifest(tmp_path / "rows.jsonl", rows)  # type: ignore[arg-type]
    return Settings(manifest, "jsonl", **more)  # type: ignore[arg-type]


def _calls(journal: BatchJournal) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for item in journal.items():
        found.setdefault(item.call, []).append(item.row.id)
    return [found[call] for call in sorted(found)]


def _groups(texts: list[tuple[str, int]], most: int) -> list[list[int]]:
    maker, grouping, found = Maker(), Grouping(most), []
    for number, (prompt, steps) in enumerate(texts):
        (row,) = maker.rows(Entry(1, {"prompt": prompt, "steps": steps}))
        found += grouping.add(number, row)
    found += grouping.rest()
    return [[number for number, _ in group] for group in found]


def test_like_rows_share_a_call() -> None:
    rows = [("a", 5), ("b", 9), ("c", 5), ("d", 5), ("e", 9)]
    assert _groups(rows, 2) == [[0, 2], [1, 4], [3]]
    assert _groups(rows, 1) == [[0], [1], [2], [3], [4]]


def test_few_groups_are_kept_open() -> None:
    rows = [("a", 1 + i) for i in range(200)]
    grouping, maker, held = Grouping(8), Maker(), 0
    closed = []
    for number, (prompt, steps) in enumerate(rows):
        (row,) = maker.rows(Entry(1, {"prompt": prompt, "steps": steps}))
        closed += grouping.add(number, row)
        held = max(held, number + 1 - len(closed))
    assert held == 64
    assert len(closed) + len(list(grouping.rest())) == 200


def test_edits_share_a_call_when_only_seeds_differ(tmp_path: Path) -> None:
    rows: list[object] = [
        {"id": "a", "prompt": "a cat", "to": "a dog", "seeds": 3},
        {"id": "b", "prompt": "a cat", "to": "a car"},
        {"id": "c", "prompt": "a cat", "to": "a dog", "seed": 9},
    ]
    journal = BatchJournal(tmp_path / "out")
    plan_once(journal, _settings(tmp_path, rows, together=4), WORKER, lambda _: 1)
    assert _calls(journal) == [["a-0", "a-1", "a-2", "c"], ["b"]]


@pytest.mark.parametrize("together", [1, 3])
def test_shards_part_the_calls(tmp_path: Path, together: int) -> None:
    rows: list[object] = [{"id": f"{i}", "prompt": f"a cat {i}"} for i in range(17)]
    whole = BatchJournal(tmp_path / "whole")
    plan_once(whole, _settings(tmp_path, rows, together=together), WORKER, lambda _: 1)
    calls: list[list[str]] = []
    for i in range(4):
        journal = BatchJournal(tmp_path / f"{i}")
        settings = _settings(tmp_path, rows, together=together, shard=(i, 4))
        plan_once(journal, settings, WORKER, lambda _: 1)
        calls += _calls(journal)
        assert {item.number: item.row for item in journal.items()}.items() <= {
            item.number: item.row for item in whole.items()
        }.items()
    assert sorted(calls) == sorted(_calls(whole))


def test_what_makes_no_row_is_told_with_its_line(tmp_path: Path) -> None:
    rows: list[object] = [
        {"id": "a", "prompt": "a cat"},
        "{",
        {"id": "a", "prompt": "a dog"},
        {"prompt": "a cat", "size": [100, 100]},
        {"id": "b", "prompt": "a cow", "steps": 0},
        {"prompt": "a cat", "seeds": 2},
        {"prompt": "a cat", "seed": 1},
    ]
    journal = BatchJournal(tmp_path / "out")

    def needs(recipe: object) -> int:
        if getattr(recipe, "size", None) == (100, 100):
            raise ValueError("height: 100 came; emoji-sd expects a multiple of 8")
        return 1

    plan_once(journal, _settings(tmp_path, rows), WORKER, needs)
    told = dict(journal.refused())
    assert list(told) == [2, 3, 4, 5, 7]
    assert told[3] == "id: 'a' came in line 1 already; expected it once"
    assert told[4].startswith("height: 100 came")
    assert told[7].endswith("came in line 6 already; expected it once")
    assert journal.counts().waiting == 3


def test_a_plan_that_was_not_ended_is_made_anew(tmp_path: Path) -> None:
    settings = _settings(tmp_path, [{"prompt": f"a cat {i}"} for i in range(5)])
    journal, told = BatchJournal(tmp_path / "out"), []

    def fails(_: object) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_once(journal, settings, WORKER, fails)
    journal.note("planner", {"worker": "elsewhere:2:gone", "lease": 0})
    assert plan_once(journal, settings, WORKER, lambda _: 1, told=told.append)
    assert (journal.counts().waiting, told) == (5, [5])
    assert not plan_once(journal, settings, "elsewhere:3:c", lambda _: 1)


def test_a_manifest_without_rows_is_refused(tmp_path: Path) -> None:
    journal = BatchJournal(tmp_path / "out")
    with pytest.raises(ValueError, match="no line of it makes a row; it is empty"):
        plan_once(journal, _settings(tmp_path, []), WORKER, lambda _: 1)
    with pytest.raises(ValueError, match="no line of it makes a row; line 1: there is no field"):
        plan_once(journal, _settings(tmp_path, [{"x": 1}]), WORKER, lambda _: 1)


_MEASURE = """
import sys, time
from pathlib import Path
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.plan import Settings, plan_once

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

journal = BatchJournal(Path(sys.argv[2]))
settings = Settings(Path(sys.argv[1]), "jsonl", together=int(sys.argv[3]))
before, start = resident(), time.process_time()
plan_once(journal, settings, "elsewhere:1:a", lambda recipe: 1)
print(journal.counts().waiting, journal.counts().refused, resident() - before)
print(f"{time.process_time() - start:.0f} s of CPU", file=sys.stderr)
"""


def _many(count: int) -> Iterator[object]:
    for i in range(count):
        if i % 1000 == 999:
            yield "{"
        elif i % 3:
            yield json.dumps({"prompt": f"a cat number {i}", "to": f"a dog number {i}"})
        else:
            yield json.dumps({"prompt": f"a red car number {i}", "seed": i})


def _growth(tmp_path: Path, count: int, together: int) -> int:
    manifest = tmp_path / "many.jsonl"
    with manifest.open("w", encoding="utf-8") as file:
        for line in _many(count):
            file.write(f"{line}\n")
    command = [sys.executable, "-c", _MEASURE, str(manifest), str(tmp_path / "out"), str(together)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    waiting, refused, growth = map(int, done.stdout.split())
    assert (waiting, refused) == (count - count // 1000, count // 1000)
    print(f"{count} rows: {growth / 2**20:.1f} MiB, {done.stderr.strip()}")
    return growth


def test_memory_does_not_grow_with_the_manifest(tmp_path: Path) -> None:
    """R3 in small: twenty times as many rows as a chunk holds."""
    assert _growth(tmp_path, 10_000, 8) < 40 * 2**20


@pytest.mark.slow
@pytest.mark.skipif("not os.environ.get('ATTENTION_STUDIO_SLOW')", reason="takes many minutes")
def test_a_million_rows(tmp_path: Path) -> None:
    """R3."""
    assert _growth(tmp_path, 1_000_000, 8) < 150 * 2**20
