"""The app on emoji-sd: what it draws is what the session draws."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from attention_studio.app.draft import Draft
from attention_studio.app.runner import make_app_runner
from attention_studio.gallery import Gallery
from attention_studio.jobs import Journal, State, start_worker
from attention_studio.session import Session

SCRIPT = """
from pathlib import Path
from attention_studio.app.desk import open_desk
from attention_studio.app.edit_page import edit_page
from attention_studio.app.settings import Settings
edit_page(open_desk(Settings(Path({out!r}))))
"""


@pytest.mark.slow
def test_the_app_draws_what_the_session_draws(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    make = partial(make_app_runner, out, (), None)
    worker = start_worker(out, make, "cpu", apart=True)
    at = AppTest.from_string(SCRIPT.format(out=str(out)), default_timeout=120).run()
    at.session_state["draft_steps"] = 2
    at.run()
    at.button(key="go").click().run()
    journal, end = Journal(out), time.monotonic() + 120
    while not journal.counts()[State.done]:
        assert not journal.counts()[State.failed], journal.all("SELECT error FROM jobs")[0]["error"]
        assert time.monotonic() < end
        time.sleep(0.1)
    at.run()
    assert not at.exception
    (job,) = journal.all("SELECT result FROM jobs")
    st.cache_resource.clear()
    worker.stop(60)

    recipe = Draft(steps=2).recipe()
    expected = Session(device="cpu").run(recipe, plain=True)
    saved = sorted(out.rglob("*.png"), key=lambda path: (path.name[:6], "plain" in path.name))
    for path, image in zip(saved, (*expected.images, *expected.plain), strict=True):
        with Image.open(path) as picture:
            assert picture.tobytes() == image.tobytes(), path.name
    stored = Gallery(out).recipe_of(saved[1])
    assert stored.recipe is not None
    assert Draft.of(stored.recipe) is not None
    words = [tab.label for tab in at.tabs]
    assert words == ["Compare", "Word maps", "Receipt", "Recipe"]
    assert '"words":["a","cat","on","grass","dog"]' in job["result"]
