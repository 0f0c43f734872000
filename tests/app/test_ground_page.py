"""The page Ground: what it asks of the worker, and what it says of what cannot be."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from attention_studio.app.ground_draft import EXPRESSION, GroundDraft, example_picture
from attention_studio.ground import GROUND, GroundJob, GroundSettings
from attention_studio.ground.job_runner import GroundRunner
from attention_studio.jobs import Journal, State, start_worker
from attention_studio.picture_file import open_picture

from ..processors.conftest import sd
from .conftest import visit


@pytest.fixture(scope="module")
def session() -> Any:
    """A tiny random pipeline in the place of a model."""
    return SimpleNamespace(pipe=sd(), warm=lambda model: None)


@pytest.fixture
def found(out: Path, session: Any) -> Iterator[Callable[..., AppTest]]:
    """Opens the page, before a worker that grounds."""
    worker = start_worker(out, lambda device: GroundRunner(session, out), "cpu")
    yield partial(visit, out, "ground")
    worker.stop(30)
    st.cache_resource.clear()


def ended(out: Path) -> None:
    journal, end = Journal(out), time.monotonic() + 60
    while not (journal.counts()[State.done] or journal.counts()[State.failed]):
        assert time.monotonic() < end
        time.sleep(0.05)
    journal.close()


def picture(width: int = 48, height: int = 32) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((width, height)).save(file, "PNG")
    return file.getvalue()


def test_drafts_are_read_back_from_their_jobs(tmp_path: Path) -> None:
    for draft in (
        GroundDraft(),
        GroundDraft("a cat", "other", "plain", 30, 55, 7),
        GroundDraft(mode="no magnets", noise=5),
    ):
        assert GroundDraft.of(draft.job(picture(), tmp_path)) == draft
    said = GroundSettings(magnets=("on",))
    assert GroundDraft.of(GroundJob("0" * 64, "a cat", settings=said)) is None


def test_the_example_is_one_click_away(found: Callable[..., AppTest], out: Path) -> None:
    at = found()
    assert not at.exception
    assert at.text_input(key="ground_expression").value == EXPRESSION
    at.button(key="ground_go").click().run()
    assert not at.error and not at.exception
    ended(out)
    at.run()
    assert not at.exception
    assert any(text.value.startswith(f"“{EXPRESSION}” is at ") for text in at.text)
    facts = json.loads(at.code[0].value)
    assert facts["prompt"] == f"{EXPRESSION} with to pink"
    mask = Image.open(out / facts["files"]["mask"])
    assert mask.size == open_picture(example_picture()).size[::-1]
    assert (out / facts["files"]["overlay"]).is_file()


def test_a_picture_of_one_s_own_and_switches(found: Callable[..., AppTest], out: Path) -> None:
    at = found()
    at.file_uploader(key="ground_file").set_value(("own.png", picture(), "image/png")).run()
    at.text_input(key="ground_expression").set_value("a tiger").run()
    at.slider(key="ground_noise").set_value(30).run()
    at.segmented_control(key="ground_mode").set_value("plain").run()
    at.button(key="ground_go").click().run()
    assert not at.error and not at.exception
    ended(out)
    at.run()
    facts = json.loads(at.code[0].value)
    assert facts["prompt"] == "a tiger"
    assert Image.open(out / facts["files"]["mask"]).size == (48, 32)
    job = Journal(out).find(at.session_state["ground_job"])
    assert job is not None
    assert json.loads(job.options) == GROUND
    assert GroundJob.read(job.recipe).settings == GroundSettings(noise=0.3, magnets=(), plain=True)


def test_what_is_refused_is_said(found: Callable[..., AppTest], out: Path) -> None:
    at = found()
    at.file_uploader(key="ground_file").set_value(("no.png", b"<b>no</b>", "image/png")).run()
    assert "it is no PNG" in at.error[0].value
    at = found()
    at.text_input(key="ground_expression").set_value(" ").run()
    at.button(key="ground_go").click().run()
    assert "it is empty" in at.error[0].value
    at.text_input(key="ground_expression").set_value("?!").run()
    at.button(key="ground_go").click().run()
    ended(out)
    at.run()
    assert "expected one with a word" in at.error[0].value
    assert not at.exception


def test_a_page_opened_again_shows_the_job_its_picture_and_its_words(
    found: Callable[..., AppTest], out: Path
) -> None:
    draft = GroundDraft("a cat on grass", cut=60)
    asked = draft.job(picture(), out)
    job = Journal(out).submit(asked.recipe, GROUND, "ann")
    ended(out)
    at = found(job=job.key)
    assert not at.exception
    assert at.text_input(key="ground_expression").value == "a cat on grass"
    assert at.slider(key="ground_cut").value == 60
    assert at.session_state["owner"] == "ann"
    at.button(key="ground_go").click().run()
    assert at.session_state["ground_job"] == job.key
    for file in (out / "ground").glob("*-mask.png"):
        file.unlink()
    at.run()
    assert any("not in the folder any more" in info.value for info in at.info)


def test_a_recipe_s_job_is_of_another_page(found: Callable[..., AppTest], out: Path) -> None:
    job = Journal(out).submit({"prompts": ["a cat"]}, {"maps": True}, "ann")
    at = found(job=job.key)
    assert not at.exception
    assert "ground_job" not in at.session_state


def test_the_runner_of_the_app_knows_groundings(
    out: Path, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attention_studio.app import runner

    monkeypatch.setattr(runner, "warm_session", lambda *_: session)
    run = runner.make_app_runner(out, (), None, "cpu")
    asked = GroundDraft("a cat").job(picture(), out)
    job = Journal(out).submit(asked.recipe, GROUND, "ann")
    told = SimpleNamespace(progress=lambda done, total: None)
    assert run(job, told)["expression"] == "a cat"  # type: ignore[arg-type]
