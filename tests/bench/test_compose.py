"""`bench compose`: nothing is timed before the controls are what they must equal."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from attention_studio.bench import COMPOSE_WAYS, compose
from attention_studio.bench.compose import LIMIT, ComposeRuns
from attention_studio.cli import app
from attention_studio.pipelines.untrained import untrained_sd15
from attention_studio.processors import StructurePhrases

SIZE = (64, 64)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return untrained_sd15(channels=(32, 64, 64, 64))


def test_ours_are_their_yardsticks(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Tensor] = []

    def kept(name: str, ours: Tensor, wanted: Tensor) -> float:
        moved.append(wanted)
        return found(name, ours, wanted)

    found = compose._error
    monkeypatch.setattr(compose, "_error", kept)
    before = dict(pipe.unet.attn_processors)
    runs = ComposeRuns(pipe, compose.SIZE, 2, 2.0)
    errors = compose._errors(runs)
    assert errors.keys() < set(COMPOSE_WAYS) and all(e <= LIMIT for e in errors.values())
    assert all(pipe.unet.attn_processors[name] is p for name, p in before.items())
    stock = runs.stock()
    assert len(moved) == 2
    for latents in moved:
        assert float((latents - stock).abs().max() / stock.abs().max()) > 1000 * LIMIT
    with pytest.raises(ValueError, match=r"^compose: refused, since x differs .* limit 1e-05"):
        found("x", stock, moved[0])


def test_what_is_off_is_off_and_what_is_on_is_on(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = ComposeRuns(pipe, SIZE, 1, 2.0)
    compose._check_effects(runs)
    monkeypatch.setattr(compose, "_controls_off", lambda: [("x", [StructurePhrases()])])
    with pytest.raises(ValueError, match="controls with x move the latents"):
        compose._check_effects(runs)
    monkeypatch.setattr(compose, "_controls_off", lambda: [])
    monkeypatch.setattr(compose, "_CONTROLS", dict.fromkeys(compose._CONTROLS, ()))
    with pytest.raises(ValueError, match="structure leaves the latents as they are"):
        compose._check_effects(runs)


def test_rows_and_csv(tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "check_compose", lambda *_: {"a-star whole": 1e-7})
    monkeypatch.setattr(compose, "untrained_sd15", lambda **_: None)
    path = tmp_path / "compose.csv"
    ways = ("a-star", "a-star whole", "structure", "boxes", "diffusers excite unrefined")
    asked = ["bench", "compose", f"--model={tiny_sd}", "--steps=2", "--repetitions=1", "--json"]
    asked += ["--quiet", "--size=32x32", f"--csv={path}", f"--against={','.join(ways)}"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    counts = {row["way"]: (row["guided"], row["gradients"]) for row in rows}
    assert tuple(counts) == ("stock", *ways)
    assert [*counts.values()] == [(0, 0), (1, 1), (2, 2), (0, 0), (1, 5), (2, 2)]
    assert all(row["ms_median"] > 0 for row in rows) and rows[0]["times_median"] == 1.0
    with path.open() as file:
        found = list(csv.DictReader(file))
    assert [row["error"] for row in found] == ["", "", "1e-07", "", "", ""]
    assert {"guided", "gradients", "device", "commit", "date", "diffusers"} <= found[0].keys()


def test_a_way_that_is_none_is_refused(tiny_sd: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "compose", f"--model={tiny_sd}", "--against=official"])
    assert done.exit_code == 2
    assert "against: ['official'] came; compose knows a-star, a-star whole," in done.stderr


def test_noise_is_that_of_a_stock_run(pipe: Any) -> None:
    runs = ComposeRuns(pipe, SIZE, 1, 1.0)
    assert torch.equal(runs.stock(latents=runs.start()), runs.stock())
