"""Several processes: torchrun, Ray's actors; the same files as one process makes."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from attention_studio import Session
from attention_studio.batch.launch import Rank, read_rank
from attention_studio.batch.run import run_batch

from .rows import ROWS, MakeBatch, tree, write_manifest


def _environment(rank: int, local: int, world: int, here: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(here),
    }


def test_ranks() -> None:
    assert read_rank(_environment(1, 1, 2, 2)) == Rank(1, (0, 1))
    assert read_rank(_environment(5, 1, 8, 4)) == Rank(1, (1, 2))
    assert [read_rank(_environment(r, r, 2, 2)).speaks for r in range(2)] == [True, False]
    for wrong in ({}, {"RANK": "0"}, _environment(0, 0, 3, 2), _environment(0, 4, 4, 4)):
        with pytest.raises(ValueError, match=r"^engine: "):
            read_rank(wrong)


@pytest.mark.slow
@pytest.mark.skipif("not os.environ.get('ATTENTION_STUDIO_SLOW')", reason="takes minutes")
def test_two_torchrun_processes_make_the_files_of_one(
    make_batch: MakeBatch, warm: Session, tmp_path: Path, tiny_sd: Path
) -> None:
    calm = make_batch(ROWS, out="calm")
    run_batch(calm, session=warm)
    manifest = write_manifest(tmp_path / "rows.jsonl", ROWS)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["-m", "attention_studio", "batch", str(manifest), "--out", str(tmp_path / "two")]
    command += ["--engine", "accelerate", "--model", str(tiny_sd), "--steps", "1"]
    done = subprocess.run([*command, "--min-free", "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("7 of 7 rows done") == 1
    assert tree(tmp_path / "two" / "pictures") == tree(calm.out / "pictures")
    assert (tmp_path / "two" / "manifest.out.jsonl").read_bytes() == (
        calm.out / "manifest.out.jsonl"
    ).read_bytes()


needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra [ray]"
)


def _actors() -> list[psutil.Process]:
    """Ray's workers that hold a model, among the processes that this one started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif("not os.environ.get('ATTENTION_STUDIO_SLOW')", reason="takes minutes")
def test_ray_makes_the_files_of_one_process(
    make_batch: MakeBatch, warm: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two actors, one of which is killed at work: nothing is lost, nothing is twice."""
    import ray

    monkeypatch.setenv("RAY_worker_niceness", "0")  # elsewhere Ray leaves others the first turn
    rows = [*ROWS, *({"id": f"more-{i}", "prompt": f"a car {i}"} for i in range(12))]
    calm = make_batch(rows, out="calm", steps=8)
    run_batch(calm, session=warm)
    batch = replace(calm, out=calm.out.with_name("ray"), workers=2)
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        pictures = batch.out / "pictures"
        while not over.wait(0.1):
            if len(list(pictures.glob("*/*/receipt.json"))) < 2:
                continue
            for process in _actors()[:1]:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    ray.init(num_cpus=3, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        start = time.monotonic()
        found = run_batch(batch)
        print(f"19 rows in {time.monotonic() - start:.1f} s, killed {killed}")
    finally:
        over.set()
        killer.join()
        ray.shutdown()
    assert killed, "no actor was killed"
    assert (found.counts.done, found.drawn, found.counts.failed) == (19, 19, 0)
    assert tree(batch.out / "pictures") == tree(calm.out / "pictures")
    assert run_batch(replace(batch, workers=None), session=warm).drawn == 0
