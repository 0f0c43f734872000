"""The command: exit codes, JSON, stdin, dry runs, Ctrl-C, no network, nothing evaluated."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attention_studio import Session
from attention_studio.batch import run
from attention_studio.batch.journal import BatchJournal

from ..hostile_prompts import HOSTILE
from ..studio.conftest import call
from .rows import MakeBatch, write_manifest


@pytest.fixture
def batch(tmp_path: Path, tiny_sd: Path, warm: Session, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls the command in this process, on the warm session."""
    from attention_studio import session as module
    from attention_studio.cli import batch as command

    monkeypatch.setattr(module, "Session", lambda **_: warm)
    monkeypatch.setattr(command, "new_session", lambda *_: warm)

    def invoke(*args: object, given: str | None = None, out: str = "out") -> Any:
        options = ("--model", tiny_sd, "--steps", 1, "--min-free", 0)
        return call("batch", *args, "--out", tmp_path / out, *options, given=given)

    return invoke


def _manifest(tmp_path: Path, *rows: Any) -> Path:
    return write_manifest(tmp_path / "m.jsonl", rows)


EDIT = {"id": "swap", "prompt": "a cat on grass", "to": "a dog on grass"}


def test_json_and_files(batch: Any, tmp_path: Path) -> None:
    done = batch(_manifest(tmp_path, EDIT, {"id": "car", "prompt": "a car"}), "--json", "--quiet")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    names = [Path(path).name for path in told["images"]]
    assert names == ["source.png", "edit.png", "picture.png"]
    assert all(Path(path).is_file() for path in told["images"])
    assert told["receipt"]["effect"] in ("visible", "weak", "none")
    assert told["recipe"]["prompts"] == ["a cat on grass", "a dog on grass"]
    assert set(told) >= {"images", "receipt", "judge", "timings", "recipe"}
    assert told["rows"] == {
        "all": 2,
        "done": 2,
        "failed": 0,
        "waiting": 0,
        "kept": 2,
        "drawn_now": 2,
    }
    assert Path(told["manifest"]).is_file() and Path(told["report"]).is_file()


def test_some_rows_failed(batch: Any, tmp_path: Path) -> None:
    done = batch(_manifest(tmp_path, EDIT, "{", {"prompt": "a", "x": 1}))
    assert done.exit_code == 1
    assert "line 2 makes no row: it is not valid JSON" in done.stderr
    assert "1 of 1 rows done" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nowhere.jsonl",), "is no file"),
        (("m.jsonl", "--shard", "4/4"), "shard: came '4/4'; expected I/N with I from 0"),
        (("m.jsonl", "--shard", "-1/4"), "shard: came '-1/4'"),
        (("m.jsonl", "--filter", "psnr>3"), "there is no figure 'psnr'"),
        (("m.jsonl", "--keep-top", "2", "--shard", "0/2"), "keep-top: a shard does not know"),
        (("m.jsonl", "--engine", "accelerate"), "no launcher started this process"),
        (("m.jsonl", "--width", "64"), "size: came one of width and height"),
    ],
)
def test_bad_usage(
    batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: Any, said: str
) -> None:
    _manifest(tmp_path, EDIT)
    monkeypatch.chdir(tmp_path)
    done = batch(*args)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.rglob("*.png"))


def test_too_little_room_is_the_environment_s_fault(
    batch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4."""
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=-1))
        done = batch(_manifest(tmp_path, EDIT))
    assert done.exit_code == 3
    assert "MiB are free on its disk; expected" in " ".join(done.stderr.split())
    assert batch(tmp_path / "m.jsonl").exit_code == 0


def test_stdin_and_going_on(batch: Any, tmp_path: Path) -> None:
    text = json.dumps(EDIT) + "\n" + json.dumps("a frog")
    assert batch("-", given=text).exit_code == 0
    again = batch("-", "--json", "--quiet", given=text)
    assert json.loads(again.stdout)["rows"]["drawn_now"] == 0
    other = batch("-", given='"a bear"')
    assert other.exit_code == 2 and "manifest: it is not the one" in other.stderr
    assert batch("-", "--no-resume", given=text).exit_code == 2


def test_a_dry_run_draws_nothing(batch: Any, tmp_path: Path) -> None:
    done = batch(_manifest(tmp_path, EDIT, {"prompt": "a", "seeds": 4}), "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows"], told["calls"], told["pictures"]) == (5, 5, 6)
    assert told["memory_bytes"] > 0 and told["seconds"] > 0
    assert not (tmp_path / "out").exists()
    text = batch(tmp_path / "m.jsonl", "--dry-run", "--batch-size", 4).stdout
    assert "5 rows, 6 pictures in 2 calls" in text and "memory beside the weights" in text
    bad = batch(_manifest(tmp_path, EDIT, "{"), "--dry-run")
    assert bad.exit_code == 1


def test_text_is_shown_as_it_is(batch: Any, tmp_path: Path) -> None:
    """S8 and T4: in the report, in the lists, in the pictures."""
    prompts = [prompt for prompt in HOSTILE if len(prompt) < 400]
    rows = [{"id": f"{i} {p}"[:200], "prompt": p} for i, p in enumerate(prompts)]
    done = batch(_manifest(tmp_path, *rows, "</table><script>alert(1)</script>"), "--no-syntax")
    assert done.exit_code == 1 and "\x1b" not in done.output
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for mark in ("<script", "<img src=x", "<svg", "<a ", "onerror='", 'javascript:alert(1)"'):
        assert mark not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'" in page
    lines = (tmp_path / "out" / "manifest.out.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["prompts"][0] for line in lines if line] == prompts


def test_nothing_goes_out(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6."""
    asked: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        asked.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert run.run_batch(make_batch([EDIT]), session=warm).counts.done == 1
    assert not asked


def _command(tiny_sd: Path, manifest: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "attention_studio", "batch", str(manifest), "--out", str(out)]
    command += ["--model", str(tiny_sd), "--steps", "60", "--min-free", "0", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _until_done(out: Path, rows: int) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        time.sleep(0.1)
        if (out / "journal.sqlite").exists():
            journal = BatchJournal(out)
            done = journal.counts().done
            journal.close()
            if done >= rows:
                return
    raise AssertionError("it did not happen in time")


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(
            signal.SIGTERM,
            marks=pytest.mark.skipif(
                "not os.environ.get('ATTENTION_STUDIO_SLOW')", reason="takes a minute"
            ),
        ),
    ],
)
def test_ctrl_c_ends_after_the_step(tmp_path: Path, tiny_sd: Path, number: int) -> None:
    """R8, in a process of its own; what it had drawn stands, and nothing is held."""
    manifest = _manifest(tmp_path, *({"prompt": f"a cat {i}"} for i in range(50)))
    process = _command(tiny_sd, manifest, tmp_path / "out")
    _until_done(tmp_path / "out", 1)
    start = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert time.monotonic() - start < 20
    assert "stopping after this step" in said and "Traceback" not in said
    journal = BatchJournal(tmp_path / "out")
    assert 1 <= journal.counts().done < 50
    assert not journal.one("SELECT 1 FROM calls WHERE state = 'running'")
    assert not (tmp_path / "out" / ".parts").exists()
