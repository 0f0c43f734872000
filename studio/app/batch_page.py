"""The page Batch: on the left a manifest, on the right its plan, its rows and their pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ..batch.job import DRAW, PLAN, BatchJob
from ..jobs import Job, State, job_key
from .asking import ask
from .batch_draft import EXAMPLES, BatchDraft, read_upload
from .batch_panel import batch_owner, batch_panel, plan_panel
from .desk import MOST_WAITING, Desk
from .form_keys import FormKeys
from .job_panel import nothing_yet
from .literal import literal
from .run_fields import KEPT, model_field, steps_field

__all__ = ["batch_page"]

_PLAN, _DRAW = "batch_plan", "batch_draw"  # keys of the jobs that are shown
_KEYS = FormKeys("batch", BatchDraft())
_LARGEST_MB = 1


def batch_page(desk: Desk) -> None:
    """Draw the page."""
    _adopt(desk)
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _asking(desk)
    with outcome:
        _outcome(desk)


@st.fragment
def _asking(desk: Desk) -> None:
    """A fragment: what is typed here draws only this part of the page again."""
    _form(desk)
    plan, start = st.columns(2)
    if plan.button("Plan", width="stretch", key="batch_plan_go"):
        _ask(desk, PLAN, _PLAN)
    if start.button("Start", type="primary", width="stretch", key="batch_go"):
        _ask(desk, DRAW, _DRAW)


def _outcome(desk: Desk) -> None:
    plan, drawn = st.session_state.get(_PLAN), st.session_state.get(_DRAW)
    if plan is None and drawn is None:
        nothing_yet("the plan, then each row and its pictures", "*Plan* or *Start*")
    if plan is not None:
        plan_panel(desk, plan, changed=plan != _key(PLAN))
    if drawn is not None:
        st.query_params["batch"] = drawn
        batch_panel(desk, drawn, lambda: _again(desk, drawn))


def _ask(desk: Desk, what: Mapping[str, Any], where: str) -> None:
    """Submit it and show its job, or say what is wrong; the form keeps what was typed."""

    def submit() -> Job:
        asked = _draft().job()
        asked.write(desk.settings.out)
        job = _submit(desk, asked.recipe, what)
        if what is DRAW:
            st.session_state.pop(_PLAN, None)
        return job

    ask(submit, where)


def _submit(
    desk: Desk, recipe: Mapping[str, Any], what: Mapping[str, Any], *, afresh: bool = False
) -> Job:
    """One that is done is done again when its report is gone, which says what is there."""
    known = desk.journal.find(job_key(recipe, what))
    if known is not None and known.state is State.done and what is DRAW:
        home = desk.settings.out / recipe["folder"]
        afresh = afresh or not (home / "report.html").is_file()
    given = dict(recipe), dict(what), batch_owner()
    return desk.journal.submit(*given, most_waiting=MOST_WAITING, afresh=afresh)


def _again(desk: Desk, key: str) -> None:
    """Go on with a batch that was cancelled or failed, or has rows to draw once more."""
    job = desk.journal.find(key)
    if job is not None:
        asked = BatchJob.read(job.recipe, desk.settings.out)
        _submit(desk, asked.recipe, DRAW, afresh=True)


def _draft() -> BatchDraft:
    """What the form says."""
    return BatchDraft(**_KEYS.said())


def _key(what: Mapping[str, Any]) -> str | None:
    try:
        return job_key(_draft().job().recipe, what)
    except ValueError:
        return None


def _adopt(desk: Desk) -> None:
    """A page opened with a batch's key shows that batch and its manifest."""
    key = st.query_params.get("batch")
    if key is None or _DRAW in st.session_state:
        return
    job = desk.journal.find(key)
    if job is None or json.loads(job.options) != DRAW:
        return
    st.session_state.setdefault("owner", batch_owner(of=job))
    st.session_state[_DRAW] = key
    try:
        draft = BatchDraft.of(BatchJob.read(job.recipe, desk.settings.out))
    except OSError:
        return
    _KEYS.show(draft)


def _form(desk: Desk) -> None:
    _KEYS.fill_in()
    st.segmented_control(
        "Format",
        list(EXAMPLES),
        format_func=str.upper,
        key=_KEYS["kind"],
        required=True,
        on_change=_other_example,
        **KEPT,
    )
    st.text_area(
        "Manifest",
        key=_KEYS["text"],
        height=240,
        max_chars=_LARGEST_MB * 2**20,
        help="One row a picture or an edit. docs/batch.md says what a row may hold.",
        **KEPT,
    )
    st.file_uploader(
        "Or take a file",
        type=["jsonl", "ndjson", "csv", "yaml", "yml"],
        max_upload_size=_LARGEST_MB,
        key="batch_file",
        on_change=_take_file,
    )
    if said := st.session_state.get("batch_file_error"):
        st.error(literal(said))
    with st.expander("Steps and more, of rows that do not say it"):
        left, right = st.columns(2)
        steps_field(left, _KEYS["steps"])
        right.number_input("Rows in one call", 1, 64, key=_KEYS["together"], **KEPT)
        model_field(desk, _KEYS["model"])


def _other_example() -> None:
    """The example is shown in the format that was chosen; what was typed stays."""
    if st.session_state[_KEYS["text"]] in EXAMPLES.values():
        st.session_state[_KEYS["text"]] = EXAMPLES[st.session_state[_KEYS["kind"]]]


def _take_file() -> None:
    """What is in an uploaded file takes the place of what is typed, unless it is no manifest."""
    st.session_state.pop("batch_file_error", None)
    file = st.session_state.get("batch_file")
    if file is None:
        return
    try:
        text, kind = read_upload(file.name, file.getvalue())
    except ValueError as error:
        st.session_state["batch_file_error"] = str(error)
        return
    st.session_state[_KEYS["text"]], st.session_state[_KEYS["kind"]] = text, kind
