"""`bench edit`: nothing is timed before an edit equals the one with all maps formed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from attention_studio.bench import edit, official
from attention_studio.bench.edit import LIMIT, EditRuns, equals_official, p2p
from attention_studio.cli import app
from attention_studio.pipelines.untrained import untrained_sd15
from attention_studio.processors import KeepLayout, ReplaceWords

SMALL = (32, 64, 64, 64)
SIZE = (64, 64)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return untrained_sd15(channels=SMALL)


def test_the_edit_is_that_of_all_maps(pipe: Any) -> None:
    assert equals_official(pipe, SIZE) <= LIMIT
    runs = EditRuns(pipe, SIZE, 4, 2.0)
    wanted = runs.official()
    assert float((wanted[1] - runs.stock()[1]).abs().max()) > 1e-3  # it does something
    for half in ([ReplaceWords()], [KeepLayout()], []):
        assert float((runs.under(half) - wanted).abs().max()) > 10 * LIMIT


def test_processors_are_put_back(pipe: Any) -> None:
    before = dict(pipe.unet.attn_processors)
    runs = EditRuns(pipe, SIZE, 1, 2.0)
    base = runs.stock()
    runs.official()
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())
    assert torch.equal(runs.stock(), base)


def test_it_refuses_to_time_what_is_wrong(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> list[Any]:
        return [replace(p2p()[0], during=p2p()[1].during), p2p()[1]]

    monkeypatch.setattr(edit, "p2p", wrong)
    with pytest.raises(ValueError, match=r"^edit: refused, since it differs .* limit 1e-05"):
        edit.measure_edit(pipe, model="small", size=SIZE, steps=1, guidance=2.0, repetitions=1)


def test_rows_and_csv(tiny_sd: Path, tmp_path: Path) -> None:
    path = tmp_path / "edit.csv"
    asked = ["bench", "edit", f"--model={tiny_sd}", "--steps=2", "--repetitions=2", "--json"]
    done = CliRunner().invoke(app, [*asked, "--quiet", f"--csv={path}", "--size=32x32"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    rows = found["rows"]
    assert rows[0]["way"] == "stock" and len(rows) == 6
    assert rows[0]["times_median"] == 1.0 and rows[0]["size"] == "32x32"
    assert all(row["ms_median"] > 0 and row["repetitions"] == 2 for row in rows)
    assert all(row["error"] <= LIMIT for row in rows if row["way"].startswith("p2p"))
    assert {"device", "commit", "date", "torch", "diffusers"} <= set(found["stamp"])
    with path.open() as file:
        assert [row["way"] for row in csv.DictReader(file)] == [row["way"] for row in rows]


def test_only_the_ways_asked_for_are_timed(tiny_sd: Path) -> None:
    asked = ["bench", "edit", f"--model={tiny_sd}", "--steps=1", "--repetitions=1", "--json"]
    done = CliRunner().invoke(app, [*asked, "--size=32x32", "--against=record_maps"])
    assert done.exit_code == 0, done.stderr
    ways = [row["way"] for row in json.loads(done.stdout)["rows"]]
    assert ways == ["stock", "p2p", "p2p + record_maps"]
    done = CliRunner().invoke(app, [*asked, "--against=flex"])
    assert done.exit_code == 2 and "against: ['flex'] came; edit knows attached," in done.stderr


def test_sizes_are_checked(tiny_sd: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "edit", f"--model={tiny_sd}", "--size=big"])
    assert done.exit_code == 2 and "size: 'big' came; expected height x width" in done.stderr


def test_steps_are_those_of_an_interval() -> None:
    assert [edit._steps(0.8, n) for n in (1, 4, 5, 10, 50)] == [1, 4, 4, 8, 40]
    assert official.Method(torch.eye(2), 1, 1).max_side == KeepLayout().max_side
