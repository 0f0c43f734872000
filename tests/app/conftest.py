"""Pages of the app on a fake session, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from attention_studio.jobs import start_worker

from .fakes import Counting

PAGES = {
    "edit": "from attention_studio.app.edit_page import edit_page; edit_page(desk)",
    "batch": "from attention_studio.app.batch_page import batch_page; batch_page(desk)",
    "compose": "from attention_studio.app.compose_page import compose_page; compose_page(desk)",
    "gallery": "from attention_studio.app.gallery_page import gallery_page; "
    "gallery_page(desk, lambda recipe: st.session_state.update(used=recipe))",
    "ground": "from attention_studio.app.ground_page import ground_page; ground_page(desk)",
    "models": "from attention_studio.app.models_page import models_page; models_page(desk)",
    "resolution": "from attention_studio.app.resolution_page import resolution_page; "
    "resolution_page(desk)",
    "story": "from attention_studio.app.story_page import story_page; story_page(desk)",
}
FRAME = """
from pathlib import Path
import streamlit as st
from attention_studio.app.desk import open_desk
from attention_studio.app.settings import Settings
desk = open_desk(Settings(Path({out!r}), tuple(map(Path, {models!r}))))
{page}
"""


def visit(out: Path, name: str, models: tuple[Path, ...] = (), **query: str) -> AppTest:
    """Opens a page by its name, as another visitor. models: folders with further models."""
    folders = [str(folder) for folder in models]
    script = FRAME.format(out=str(out), models=folders, page=PAGES[name])
    at = AppTest.from_string(script, default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = value
    return at.run()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def page(out: Path) -> Iterator[Callable[..., AppTest]]:
    """Opens a page by its name; each call is another visitor."""
    worker = start_worker(out, lambda device: Counting(out), "cpu")

    yield partial(visit, out)
    worker.stop(30)
    st.cache_resource.clear()


@pytest.fixture
def starts(out: Path) -> Callable[[], list[Any]]:
    """What the worker has started: "worker" itself, then the prompts of each job."""
    return lambda: [json.loads(line) for line in (out / "starts.jsonl").read_text().splitlines()]
