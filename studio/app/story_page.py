"""The page Story: a cast, scenes, and the same subjects in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from ..jobs import Job
from ..picture_file import open_picture
from ..story import STORY, StoryJob, is_story
from .asking import adopt, ask
from .desk import Desk
from .draft import MOST_CHARACTERS
from .form_keys import FormKeys
from .job_panel import job_panel
from .literal import literal
from .pictures import shown
from .run_fields import KEPT, run_fields
from .story_draft import METHOD_NAMES, MOST_SUBJECTS, StoryDraft

__all__ = ["story_page"]

_JOB = "story_job"
_KEYS = FormKeys("story", StoryDraft(), rows=("words", "portraits"))
_COMES = "portraits of a cast, and scenes in which everybody stays the same"


def story_page(desk: Desk) -> None:
    """Draw the page."""
    adopt(desk, _JOB, _take_over)
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _asking(desk)
    with outcome:
        job_panel(desk, _JOB, _COMES, "*Tell*", _panel)


def _take_over(job: Job) -> bool:
    """Set the form to a job's story; False, and nothing done, when it cannot be."""
    if not is_story(job.options):
        return False
    try:
        draft = StoryDraft.of(StoryJob.read(job.recipe).story)
    except ValueError:
        return False
    if draft is None:
        return False
    _KEYS.show(draft)
    return True


@st.fragment
def _asking(desk: Desk) -> None:
    """A fragment: what is set here draws only this part of the page again."""
    _KEYS.fill_in()
    for row in range(MOST_SUBJECTS):
        left, right = st.columns([1, 3])
        left.text_input(f"Subject {row + 1}", key=_KEYS.row("words", row), max_chars=100, **KEPT)
        right.text_input(
            f"Portrait {row + 1}",
            key=_KEYS.row("portraits", row),
            max_chars=MOST_CHARACTERS,
            help="A prompt with the subject's word that says how it looks.",
            **KEPT,
        )
    st.text_area(
        "Scenes, one a line",
        key=_KEYS["scenes"],
        max_chars=MOST_CHARACTERS,
        help="Each names those who are in it by their words.",
        **KEPT,
    )
    st.selectbox(
        "What keeps them the same",
        list(METHOD_NAMES),
        format_func=lambda method: METHOD_NAMES[method],
        key=_KEYS["method"],
        **KEPT,
    )
    with st.expander("Seed, steps, model and more"):
        st.toggle(
            "Scenes say subjects as their portraits do",
            key=_KEYS["complete"],
            help="Where a scene says “a cat” and the portrait “a red cat”, a red cat is drawn.",
            **KEPT,
        )
        st.toggle(
            "Looks say who stands where",
            key=_KEYS["alike"],
            help="Else words do. A rehearsal may have drawn one where the other is called.",
            **KEPT,
        )
        run_fields(desk, _KEYS)
    if st.button("Tell", type="primary", width="stretch", key="story_go"):
        ask(lambda: _submit(desk), _JOB)


def _submit(desk: Desk) -> Job:
    said = StoryDraft(**_KEYS.said())
    return desk.submit_job(StoryJob(said.recipe()).recipe, STORY)


def _panel(desk: Desk, job: Job, rest: Callable[[], None] | None) -> None:
    """What came of it; `rest` is for runs that show a part early, which these do not."""
    assert job.result is not None
    facts, files = job.result, job.result["files"]
    with st.grid(columns=3, min_column_width=110, gap="small", key="story_portraits"):
        for one in facts["recipe"]["subjects"]:
            _picture(desk, files[f"portrait {one['word']}"], one["word"], one["portrait"])
    for number, scene in enumerate(facts["scenes"], 1):
        for sentence in scene["receipt"]["warnings"]:
            st.warning(literal(sentence), icon=":material/info:")
        with st.grid(columns=2, min_column_width=140, gap="small", key=f"story_scene_{number}"):
            _picture(desk, scene["image"], f"Scene {number}", scene["prompt"])
            if scene["rehearsal"] is not None:
                _picture(desk, scene["rehearsal"], "Rehearsal", "The same without controls")
        for line in (scene["judge"], scene["receipt"]["text"], *scene["receipt"]["notes"]):
            if line:
                st.text(line)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in facts["timings"].items())
    seen = "the judge" if facts["masks"] == "judge" else "word maps"
    st.caption(f"Places by {seen}. Time: {spent}")
    with st.expander("Figures"):
        st.code(json.dumps(facts, indent=2, ensure_ascii=False), language="json", height=360)


def _picture(desk: Desk, name: str, title: str, prompt: str) -> None:
    """A picture with its title; a file that is gone or no picture is said to be so."""
    with st.container(key=f"caption_{name}"):
        try:
            picture = shown(open_picture(desk.path(name)).image())
        except (OSError, ValueError):
            st.info("This picture is not in the folder any more.")
            return
        st.image(picture, width="stretch", alt=prompt)
        st.markdown(f"**{literal(title)}**")
        st.text(prompt)
