"""The page Story: what it asks of the worker, and what it says of what cannot be."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from attention_studio.app.story_draft import METHOD_NAMES, StoryDraft
from attention_studio.jobs import Journal, State, start_worker
from attention_studio.story import METHODS, STORY, StoryJob
from attention_studio.story.job_runner import StoryRunner

from ..processors.conftest import sd
from .conftest import visit

TOLD = StoryDraft(
    ("cat", "lion", ""),
    ("a cat on grass", "a lion on sand", ""),
    "a cat and a lion on grass\n\na lion on grass",
    steps=2,
)


@pytest.fixture(scope="module")
def session() -> Any:
    """A tiny random pipeline in the place of a model."""
    return SimpleNamespace(pipe=sd(), warm=lambda model: None)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of that model: it draws no emoji world, so word maps say who is where."""
    from attention_studio.story import job_runner

    monkeypatch.setattr(job_runner, "describe", lambda *_: SimpleNamespace(nouns=()))


@pytest.fixture
def told(out: Path, session: Any, words: None) -> Iterator[Callable[..., AppTest]]:
    """Opens the page, before a worker that tells stories."""
    worker = start_worker(out, lambda device: StoryRunner(session, out), "cpu")
    yield partial(visit, out, "story")
    worker.stop(30)
    st.cache_resource.clear()


def ended(out: Path) -> None:
    journal, end = Journal(out), time.monotonic() + 120
    while not (journal.counts()[State.done] or journal.counts()[State.failed]):
        assert time.monotonic() < end
        time.sleep(0.05)
    journal.close()


def test_drafts_are_read_back_from_their_stories() -> None:
    for draft in (StoryDraft(), StoryDraft(method="isolate", alike=True, negative="moon", seed=4)):
        assert StoryDraft.of(draft.recipe()) == draft
    assert TOLD.recipe().scenes[1].prompt == "a lion on grass"
    many = TOLD.recipe().model_copy(update={"retries": 1})
    assert StoryDraft.of(many) is None
    assert set(METHOD_NAMES) == set(METHODS)


def test_a_story_is_told_and_shown_again(told: Callable[..., AppTest], out: Path) -> None:
    at = told()
    assert not at.exception
    for row, (word, portrait) in enumerate(zip(TOLD.words, TOLD.portraits, strict=True)):
        at.text_input(key=f"story_words_{row}").set_value(word)
        at.text_input(key=f"story_portraits_{row}").set_value(portrait)
    at.text_area(key="story_scenes").set_value(TOLD.scenes)
    at.number_input(key="story_steps").set_value(2)
    at.run()
    at.button(key="story_go").click().run()
    assert not at.error and not at.exception
    ended(out)
    at.run()
    assert not at.exception and not at.error
    facts = json.loads(at.code[0].value)
    assert [scene["cast"] for scene in facts["scenes"]] == [["cat", "lion"], ["lion"]]
    assert all((out / name).is_file() for name in facts["files"].values())
    assert any(text.value.startswith("reposition_subjects gave a portrait to") for text in at.text)
    assert any("Places by word maps" in caption.value for caption in at.caption)
    job = Journal(out).find(at.session_state["story_job"])
    assert job is not None
    assert json.loads(job.options) == STORY and StoryJob.read(job.recipe).story == TOLD.recipe()

    again = told(job=job.key)
    assert not again.exception
    assert again.text_area(key="story_scenes").value == "a cat and a lion on grass\na lion on grass"
    for file in (out / "stories").glob("story-*/scene-01.png"):
        file.unlink()
    again.run()
    assert any("not in the folder any more" in info.value for info in again.info)


def test_what_is_refused_is_said(told: Callable[..., AppTest], out: Path) -> None:
    at = told()
    at.text_input(key="story_portraits_1").set_value("").run()
    at.button(key="story_go").click().run()
    assert "came half" in at.error[0].value
    at.text_input(key="story_portraits_1").set_value("a lion").run()
    at.button(key="story_go").click().run()
    assert "expected a prompt with" in at.error[0].value
    at.text_input(key="story_portraits_1").set_value("a dog").run()
    at.text_area(key="story_scenes").set_value(" ").run()
    at.button(key="story_go").click().run()
    assert "none came" in at.error[0].value
    assert not at.exception and "story_job" not in at.session_state


def test_another_page_s_job_is_left_alone(told: Callable[..., AppTest], out: Path) -> None:
    job = Journal(out).submit({"prompts": ["a cat"]}, {"maps": True}, "ann")
    at = told(job=job.key)
    assert not at.exception and "story_job" not in at.session_state


def test_the_runner_of_the_app_knows_stories(
    out: Path, session: Any, words: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attention_studio.app import runner

    monkeypatch.setattr(runner, "warm_session", lambda *_: session)
    run = runner.make_app_runner(out, (), None, "cpu")
    job = Journal(out).submit(StoryJob(TOLD.recipe()).recipe, STORY, "ann")
    quiet = SimpleNamespace(progress=lambda done, total: None, to_stop=lambda: False)
    assert len(run(job, quiet)["scenes"]) == 2  # type: ignore[arg-type]
