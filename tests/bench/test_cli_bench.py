"""`bench` on the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from attention_studio.cli import app

TINY = ("--grid=8x16", "--heads=1", "--head-dim=8", "--text=8", "--repetitions=1", "--device=cpu")


def call(*args: str) -> Result:
    return CliRunner().invoke(app, ["bench", *args])


@pytest.mark.parametrize("work", ["disc", "labelled", "maps"])
def test_every_suite_prints_and_appends_its_rows(work: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    done = call(work, *TINY, "--json", f"--csv={path}", "--dtype=float32", "--quiet")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    rows = printed["rows"]
    assert rows[0]["suite"] == work and rows[0]["ms_median"] > 0 and rows[0]["times_ours"] == 1
    assert all(row["ms_median"] or row["note"].startswith("not measured: ") for row in rows)
    assert set(printed["stamp"]) == {"device", "threads", "date", "commit", "torch", "triton"}
    with path.open() as file:
        assert [row["implementation"] for row in csv.DictReader(file)] == [
            row["implementation"] for row in rows
        ]


def test_several_grids_and_radii_are_measured_in_turn() -> None:
    done = call("disc", *TINY, "--grid=4x4", "--radius=2", "--radius=3", "--against=", "--json")
    assert done.exit_code == 0, done.stderr
    rows = [row for row in json.loads(done.stdout)["rows"] if row["ms_median"]]
    assert [(row["grid"], row["radius"]) for row in rows] == [
        ("8x16", 2.0), ("8x16", 3.0), ("4x4", 2.0), ("4x4", 3.0),
    ]  # fmt: skip


def test_the_table_is_for_people() -> None:
    done = call("disc", *TINY, "--against=dense", "--extrapolate-dense=10")
    assert done.exit_code == 0, done.stderr
    assert "disc_attention (tiled)" in done.stdout
    assert "extrapolated from 10 of 136 query rows" in done.stdout
    assert "results on a small case" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--grid=8",), "grid: '8' came; expected height x width, like 64x64"),
        (("--against=sparse",), "against: ['sparse'] came"),
        (("--heads=0",), "heads: 0 came"),
        (("--dtype=int8",), "dtype: 'int8' came"),
    ],
)
def test_bad_usage_is_one_sentence(args: tuple[str, ...], said: str) -> None:
    done = call("disc", *TINY, *args)
    assert done.exit_code == 2 and said in done.stderr


def test_a_model_without_a_unet_is_refused() -> None:
    done = call("edit", "--model=emoji-flux", "--steps=1")
    assert done.exit_code == 2
    assert "model: 'emoji-flux' is a FluxPipeline; expected one with a UNet" in done.stderr
