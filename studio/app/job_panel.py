"""How far a job is, and what came of it; a running one is looked at again each second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import streamlit as st

from ..jobs import Job, State
from .desk import Desk, owner
from .literal import literal
from .result_panel import result_panel

__all__ = ["Panel", "job_panel", "nothing_yet", "running"]

Panel: TypeAlias = Callable[[Desk, Job, Callable[[], None] | None], None]
"""Draws a job's result; the last argument draws what stands for what is still to come."""

_EVERY_S = 1.0


def job_panel(desk: Desk, where: str, comes: str, press: str, panel: Panel = result_panel) -> None:
    """Draw the newest job of the key that the session keeps under `where`, if it keeps one.

    comes, press: see `nothing_yet`, which is drawn while there is no job.
    panel:        what came of the job, when there is something.
    """
    key = st.session_state.get(where)
    if key is not None:
        st.query_params["job"] = key
    job = None if key is None else desk.journal.find(key)
    if job is None:
        nothing_yet(comes, press)
    elif job.state is State.failed:
        st.error(literal(job.error or "It failed."))
    elif job.result is None:
        if job.state.ended:
            st.info("Cancelled.")
        else:
            running(desk, job.id)
    elif desk.complete(job):
        panel(desk, job, None if job.state.ended else lambda: _rest(desk, job.id))
        if job.state is State.cancelled:
            st.info("Cancelled before the picture without controls was drawn.")
    else:
        st.info(
            "The pictures of this run are not in the folder any more. Ask again to draw them anew."
        )


def nothing_yet(comes: str, press: str) -> None:
    """In the place of a result: what will be there, and which buttons to press. Both Markdown."""
    with st.container(border=True, key="caption_empty"):
        st.markdown(f"**Here appear {comes}.**")
        st.markdown(f"The example is ready: press {press}.")


@st.fragment(run_every=_EVERY_S)
def running(desk: Desk, number: int) -> None:
    """How far a job is that has nothing to show yet; the page is drawn again when it has."""
    job = desk.journal.get(number)
    if job.state.ended or job.result is not None:
        st.rerun()
    share = job.done / job.total if job.total else 0.0
    st.progress(min(share, 1.0), text=_how_far(desk, job))
    picture = desk.journal.preview_of(job.id)
    if picture is not None:
        st.image(picture, width="stretch", alt="The pictures so far")
    _cancel(desk, job)


@st.fragment(run_every=_EVERY_S)
def _rest(desk: Desk, number: int) -> None:
    """In the place of what is still to be drawn."""
    job = desk.journal.get(number)
    if job.state.ended:
        st.rerun()
    picture = desk.journal.preview_of(job.id)
    with st.container(key="caption_rest"):
        if picture is not None:
            st.image(picture, width="stretch", alt="The last picture so far")
        st.markdown("**Plain**")
        st.text(f"drawing … {_how_far(desk, job)}")
    _cancel(desk, job)


def _cancel(desk: Desk, job: Job) -> None:
    if st.button("Cancel", key=f"cancel_{job.id}", disabled=job.cancel):
        desk.journal.cancel(job.id, owner())
        st.rerun(scope="fragment")


def _how_far(desk: Desk, job: Job) -> str:
    if job.cancel:
        return "Cancelling after this step …"
    if job.state is State.waiting:
        ahead = desk.journal.ahead(job)
        if not ahead:
            return "Waiting"
        return f"Waiting: {ahead} {'job comes' if ahead == 1 else 'jobs come'} first"
    if not job.total:
        return "Getting the model ready …"
    spent = time.time() - (job.started or time.time())
    left = spent / job.done * (job.total - job.done) if job.done else 0.0
    about = f", about {left:.0f} s left" if left >= 1 else ""
    return f"Step {job.done} of {job.total}{about}"
