"""The page Batch: manifests, plans, rows as they come, cancelling and going on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from attention_studio.app.batch_draft import EXAMPLES, BatchDraft, read_upload
from attention_studio.batch.entries import Maker
from attention_studio.batch.formats import read_entries
from attention_studio.batch.job import DRAW
from attention_studio.jobs import Journal, State, start_worker
from attention_studio.recipe import Recipe

from .batch_fakes import make_both
from .conftest import visit
from .fakes import SLOW_SEED
from .hostile import HOSTILE
from .reading import button, text_of

Page = Callable[..., AppTest]


@pytest.fixture
def page(out: Path) -> Iterator[Page]:
    """Opens the page; each call is another visitor."""
    worker = start_worker(out, partial(make_both, out), "cpu")

    yield partial(visit, out, "batch")
    worker.stop(30)
    st.cache_resource.clear()
    st.cache_data.clear()


def _press(at: AppTest, label: str) -> AppTest:
    return button(at, label).click().run()


def _ended(at: AppTest, out: Path, state: State = State.done) -> AppTest:
    """Look again, as the timer would, until no job is left."""
    journal, end = Journal(out), time.monotonic() + 60
    while (counts := journal.counts())[State.waiting] + counts[State.running]:
        assert time.monotonic() < end
        time.sleep(0.05)
    newest = journal.one("SELECT state, error FROM jobs ORDER BY id DESC LIMIT 1")
    assert newest["state"] == state, newest["error"]
    journal.close()
    return at.run()


def _rows(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _type(at: AppTest, text: str) -> AppTest:
    return at.text_area(key="batch_text").set_value(text).run()


def _table(at: AppTest) -> dict[str, list[str]]:
    return at.dataframe[0].value.to_dict("list")


def test_the_examples_say_the_same_in_each_format(tmp_path: Path) -> None:
    found = []
    for kind, text in EXAMPLES.items():
        path = tmp_path / f"manifest.{kind}"
        path.write_text(text, encoding="utf-8")
        entries = list(read_entries(path, kind))
        assert not any(entry.error for entry in entries)
        found.append([{k: v for k, v in e.fields.items() if k != "blend"} for e in entries])
    assert found[0] == found[1] == found[2]


def test_an_uploaded_file_is_text_or_refused() -> None:
    assert read_upload("m.yml", "- 雪".encode()) == ("- 雪", "yaml")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_upload("m.csv", b"prompt\n\xff")
    with pytest.raises(ValueError, match="ends in none of"):
        read_upload("m.exe", b"")
    with pytest.raises(ValueError, match="parquet came; expected one of jsonl, csv, yaml"):
        read_upload("m.parquet", b"")


def test_the_example_is_one_click_away(page: Page, out: Path) -> None:
    at = page()
    assert not at.exception
    at = _ended(_press(at, "Plan"), out)
    assert not at.exception
    assert [metric.value for metric in at.metric[:2]] == ["6", "7"]
    assert "6 calls of the pipeline, about" in text_of(at)
    assert not list(out.rglob("*.png"))
    at = _ended(_press(at, "Start"), out)
    assert not at.exception and not at.error
    assert "6 of 6 rows done" in text_of(at)
    table = _table(at)
    assert table["row"] == ["swap", "colours-0", "colours-1", "seeds-0", "seeds-1", "seeds-2"]
    assert set(table["state"]) == {"done"}
    assert table["what came of it"][0] == "visible, 41.0 dB outside"
    assert table["prompts"][0] == "a cat on grass → a dog on grass"
    assert len(at.get("image")) == 6
    assert [button.label for button in at.get("download_button")] == ["Download the report"]
    assert len(list(out.glob("batches/*/pictures/0000/*/*.png"))) == 7


def test_lines_that_make_no_row_are_told_and_the_text_stays(page: Page, out: Path) -> None:
    text = '{"prompt": "a cat"}\n{"prompt": \n{"prompt": "a", "x": "<b>*y*</b>"}\n'
    at = _ended(_press(_type(page(), text), "Plan"), out)
    assert at.metric[0].value == "1"
    assert "2 lines make no row." in text_of(at)
    assert "line 2: it is not valid JSON" in [t.value for t in at.text]
    assert at.text_area(key="batch_text").value == text
    at = _ended(_press(_type(at, "{"), "Start"), out, State.failed)
    assert "no line of it makes a row" in at.error[0].value
    assert at.text_area(key="batch_text").value == "{"
    at = _press(_type(at, "  \n"), "Plan")
    assert "manifest\\: it is empty" in at.error[0].value.replace("\u2060", "")
    assert at.text_area(key="batch_text").value == "  \n"
    assert not at.exception


def test_a_format_changes_the_example_but_not_what_was_typed(page: Page) -> None:
    at = page()
    at.segmented_control(key="batch_kind").set_value("csv").run()
    assert at.text_area(key="batch_text").value == EXAMPLES["csv"]
    _type(at, "prompt\na cat\n")
    at.segmented_control(key="batch_kind").set_value("yaml").run()
    assert at.text_area(key="batch_text").value == "prompt\na cat\n"
    at = _press(at, "Plan")
    assert not at.exception


def test_cancel_then_resume(page: Page, out: Path) -> None:
    slow = _rows(*({"id": f"{i}", "prompt": f"a cat {i}"} for i in range(3)), {
        "id": "slow", "prompt": "a dog", "seed": SLOW_SEED, "steps": 100,
    })  # fmt: skip
    at = _press(_type(page(), slow), "Start")
    key = at.session_state["batch_draw"]
    end = time.monotonic() + 60
    while "3 of 4 rows" not in "".join(str(bar.proto.text) for bar in at.get("progress")):
        assert time.monotonic() < end
        time.sleep(0.1)
        at.run()
    assert _table(at)["state"] == ["done", "done", "done", "waiting"]
    asked = time.monotonic()
    _press(at, "Cancel")
    at = _ended(at, out, State.cancelled)
    assert time.monotonic() - asked < 5
    assert "3 of 4 rows done" in text_of(at)
    before = {path: path.stat().st_mtime_ns for path in out.glob("batches/*/pictures/*/*/*.png")}
    again = page(batch=key)  # reloaded: the manifest is there, and so is the way on
    assert again.text_area(key="batch_text").value == slow
    _press(again, "Resume")
    assert "of 4 rows" in "".join(str(bar.proto.text) for bar in again.run().get("progress"))
    _press(again, "Cancel")  # as its owner
    _ended(again, out, State.cancelled)
    for path, stamp in before.items():
        assert path.stat().st_mtime_ns == stamp


def test_failed_rows_are_shown_and_drawn_again(page: Page, out: Path) -> None:
    rows = _rows({"id": "good", "prompt": "a cat"}, {"prompt": "x", "negative": "fail"})
    at = _ended(_press(_type(page(), rows), "Start"), out)
    assert "1 of 2 rows done, 1 failed" in text_of(at)
    assert _table(at)["what came of it"][1] == "negative: <b>no</b> *failure*"
    jobs = len(Journal(out).all("SELECT 1 FROM jobs"))
    at = _ended(_press(at, "Draw the failed rows again"), out)
    assert not at.exception
    assert len(Journal(out).all("SELECT 1 FROM jobs")) == jobs + 1
    assert "1 of 2 rows done, 1 failed" in text_of(at)


def test_a_batch_gives_way_to_single_pictures(page: Page, out: Path) -> None:
    rows = _rows(*({"id": f"{i}", "prompt": f"a cat {i}", "steps": 20} for i in range(6)))
    _press(_type(page(), rows), "Start")
    journal, end = Journal(out), time.monotonic() + 60
    while not list(out.glob("batches/*/pictures/*/*")):
        assert time.monotonic() < end
        time.sleep(0.02)
    recipe = Recipe(prompts=("a dog",), steps=1)
    single = journal.submit(recipe.model_dump(mode="json"), {}, "ann").id
    while journal.get(single).state is not State.done:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert len(list(out.glob("batches/*/pictures/*/*"))) < 6
    (batch,) = journal.all(
        "SELECT * FROM jobs WHERE options = ?", json.dumps(DRAW).replace(" ", "")
    )
    while journal.get(batch["id"]).state is not State.done:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert journal.get(batch["id"]).tries == 1
    assert len(list(out.glob("batches/*/pictures/*/*"))) == 6


def test_a_batch_whose_files_are_gone_is_drawn_again(page: Page, out: Path) -> None:
    text = _rows({"id": "a", "prompt": "a cat"})
    at = _ended(_press(_type(page(), text), "Start"), out)
    shutil.rmtree(out / "batches")
    assert "are gone" in text_of(at.run())
    at = _ended(_press(at, "Start"), out)
    assert "1 of 1 rows done" in text_of(at)


def test_what_people_type_is_text(page: Page, out: Path) -> None:
    """S8: ids, prompts and errors, in lists and captions."""
    rows = [{"id": text, "prompt": text} for text in HOSTILE]
    at = page()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    at.session_state["batch_text"] = text
    at = _ended(_press(at.run(), "Start"), out)
    assert not at.exception
    entries = read_entries(next(out.glob("batches/*/manifest.jsonl")), "jsonl")
    made = [row for entry in entries for row in Maker().rows(entry)]
    assert {row.id for row in made} >= set(HOSTILE) - {HOSTILE[2], HOSTILE[13]}
    assert _table(at)["row"] == [row.id for row in made]
    assert {t.value for t in at.text} >= {row.prompts[0] for row in made}
    for markdown in at.markdown:
        assert "hacked" not in markdown.value


def test_a_file_takes_the_place_of_the_text_unless_it_is_none(page: Page) -> None:
    at = page()
    at.file_uploader(key="batch_file").set_value(("m.csv", b"prompt\n\xff", "text/csv")).run()
    assert "is not UTF" in at.error[0].value
    assert at.text_area(key="batch_text").value == EXAMPLES["jsonl"]
    at.file_uploader(key="batch_file").set_value(("m.csv", b"prompt\na cat\n", "text/csv")).run()
    assert not at.error and not at.exception
    assert at.text_area(key="batch_text").value == "prompt\na cat\n"
    assert at.segmented_control(key="batch_kind").value == "csv"


def test_a_strange_address_changes_nothing(page: Page, out: Path) -> None:
    Journal(out).submit({"prompts": ["a"]}, {"plain": True}, "ann")
    key = Journal(out).one("SELECT key FROM jobs")["key"]
    for odd in (key, "nowhere"):
        at = page(batch=odd)
        assert not at.exception
        assert at.text_area(key="batch_text").value == BatchDraft().text


def test_the_pages_process_plans_without_torch() -> None:
    code = (
        "import sys, attention_studio.app.batch_page as page, attention_studio.app.runner;"
        "sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0
