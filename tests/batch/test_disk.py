"""R4: a full disk leaves no half file, ends with a clear sentence, and the batch goes on later."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attention_studio import Session
from attention_studio.batch import store
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.run import run_batch
from attention_studio.batch.store import DiskFullError
from attention_studio.device import UnavailableError

from .rows import ROWS, MakeBatch, tree


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up(
    make_batch: MakeBatch, warm: Session, small_disk: Path, tmp_path: Path
) -> None:
    calm = make_batch(ROWS, out="calm")
    run_batch(calm, session=warm)
    batch = replace(calm, out=small_disk)
    ballast = small_disk / "ballast"
    stages = 0
    for left in (150_000, 180_000, 210_000, 240_000):  # room for the journal and some of the rows
        ballast.unlink(missing_ok=True)
        room = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"\0" * max(0, room - left))
        try:
            run_batch(batch, session=warm)
        except UnavailableError as error:
            stages += 1
            assert "run the same command again" in str(error)
        for folder in (small_disk / "pictures").glob("*/*"):
            home = calm.out / folder.relative_to(small_disk)
            assert tree(folder) == tree(home)
    assert stages, "the disk never filled up"
    ballast.unlink()
    assert run_batch(batch, session=warm).counts.done == 7
    assert tree(small_disk / "pictures") == tree(calm.out / "pictures")


def test_no_room_at_any_write(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write fails, what stands there is whole, and the next run ends the batch."""
    rows = [ROWS[0], {"id": "plain", "prompt": "a red car"}]
    calm = make_batch(rows, out="calm")
    run_batch(calm, session=warm)
    whole, sync, files = tree(calm.out / "pictures"), store.sync, [0]

    def count(file: Any) -> None:
        files[0] += 1
        sync(file)

    monkeypatch.setattr(store, "sync", count)
    run_batch(make_batch(rows, out="counted"), session=warm)
    writes = files[0]
    assert writes == 7  # source, edit, two maps, picture, and two receipts
    for fails in range(writes):
        files[0] = 0

        def full(file: Any, fails: int = fails) -> None:
            if files[0] == fails:
                files[0] += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            count(file)

        monkeypatch.setattr(store, "sync", full)
        batch = make_batch(rows, out=f"out-{fails}")
        with pytest.raises(DiskFullError, match="out: its disk is full"):
            run_batch(batch, session=warm)
        left = tree(batch.out / "pictures") if (batch.out / "pictures").exists() else {}
        assert left.items() <= whole.items()
        assert {name.rpartition("/")[0] for name in left} == {
            name.rpartition("/")[0] for name in left if name.endswith("receipt.json")
        }
        assert not (batch.out / ".parts").exists()
        monkeypatch.setattr(store, "sync", sync)
        assert run_batch(batch, session=warm).counts.done == 2
        assert tree(batch.out / "pictures") == whole


def test_it_stops_before_the_disk_is_full(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(ROWS, min_free=2**60)
    with pytest.raises(UnavailableError, match="MiB are free on its disk; expected"):
        run_batch(batch, session=warm)
    assert not list(batch.out.rglob("*.png"))
    journal = BatchJournal(batch.out)
    assert journal.counts().waiting == 7
    assert not journal.one("SELECT 1 FROM calls WHERE state = 'running'")
    usage = shutil.disk_usage(batch.out)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(UnavailableError, match="MiB are free on its disk"):
        run_batch(replace(batch, min_free=0), session=warm)
    drawn = journal.counts().done
    assert 1 <= drawn < 7  # 50 times what a row takes must be free
