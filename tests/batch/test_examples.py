"""The manifests under examples/batch are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from attention_studio.batch.formats import format_of
from attention_studio.batch.journal import BatchJournal
from attention_studio.batch.plan import Settings, plan_once
from attention_studio.batch.run import Batch, needs_of

ROWS = {"edits.jsonl": 8, "pictures.csv": 3, "pictures.yaml": 7}


@pytest.mark.parametrize("name", ROWS)
def test_an_example_can_be_planned(root: Path, tmp_path: Path, name: str) -> None:
    path = root / "examples" / "batch" / name
    settings = Settings(path, format_of(path), together=2)
    journal = BatchJournal(tmp_path)
    plan_once(journal, settings, "elsewhere:1:a", needs_of(Batch(settings, tmp_path)))
    assert (journal.counts().waiting, journal.refused()) == (ROWS[name], [])


def test_each_manifest_is_tried(root: Path) -> None:
    found = {path.name for path in (root / "examples" / "batch").iterdir()}
    assert found == {*ROWS, "slurm.sh", "skypilot.yaml"}
