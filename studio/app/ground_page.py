"""The page Ground: a picture and words for something in it, and where the model sees that."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from ..ground import GROUND, GroundJob, is_ground
from ..ground.settings import MOST_CHARACTERS
from ..jobs import Job
from ..picture_file import open_picture
from .asking import adopt, ask
from .desk import Desk
from .draft import MOST_SEED
from .form_keys import FormKeys
from .ground_draft import MODES, GroundDraft, example_picture
from .job_panel import job_panel
from .literal import literal
from .pictures import shown
from .run_fields import KEPT, model_field

__all__ = ["ground_page"]

_JOB, _PICTURE, _REFUSED = "ground_job", "ground_picture", "ground_refused"
_KEYS = FormKeys("ground", GroundDraft())
_LARGEST_MB = 16


def ground_page(desk: Desk) -> None:
    """Draw the page."""
    adopt(desk, _JOB, lambda job: _take_over(desk, job))
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _asking(desk)
    with outcome:
        job_panel(desk, _JOB, "the map, the box and the mask of what you name", "*Find*", _panel)


def _take_over(desk: Desk, job: Job) -> bool:
    """Set the form to a job's picture and words; False, and nothing done, when it cannot be."""
    if not is_ground(job.options):
        return False
    try:
        asked = GroundJob.read(job.recipe)
        draft, picture = GroundDraft.of(asked), asked.path(desk.settings.out).read_bytes()
    except (ValueError, OSError):
        return False
    if draft is None:
        return False
    _KEYS.show(draft)
    st.session_state[_PICTURE] = picture
    return True


@st.fragment
def _asking(desk: Desk) -> None:
    """A fragment: what is set here draws only this part of the page again."""
    _KEYS.fill_in()
    st.file_uploader(
        "A picture of your own",
        type=["png", "jpg", "jpeg", "webp"],
        max_upload_size=_LARGEST_MB,
        key="ground_file",
        on_change=_take_file,
    )
    if said := st.session_state.get(_REFUSED):
        st.error(literal(said))
    st.image(_small(_picture()), width=192, alt="The picture in which something is to be found")
    st.text_input(
        "What to find",
        key=_KEYS["expression"],
        max_chars=MOST_CHARACTERS,
        help="Such as “the red car on the left”. The words before a preposition count.",
        **KEPT,
    )
    with st.expander("Noise, mask and more"):
        st.segmented_control(
            "What acts",
            list(MODES),
            format_func=lambda mode: MODES[mode],
            key=_KEYS["mode"],
            required=True,
            help="Words that are appended draw off attention that belongs to nothing (RefAM).",
            **KEPT,
        )
        st.slider(
            "Noise, %",
            *(0, 95),
            step=5,
            key=_KEYS["noise"],
            help="How much is added before the model looks; 0: 20 %.",
            **KEPT,
        )
        st.slider(
            "The mask begins at, % of the map's range",
            *(0, 95),
            step=5,
            key=_KEYS["cut"],
            help="0: what suits the model.",
            **KEPT,
        )
        st.number_input("Seed", 0, MOST_SEED, key=_KEYS["seed"], **KEPT)
        model_field(desk, _KEYS["model"])
    if st.button("Find", type="primary", width="stretch", key="ground_go"):
        ask(lambda: _submit(desk), _JOB)


def _submit(desk: Desk) -> Job:
    said = GroundDraft(**_KEYS.said())
    return desk.submit_job(said.job(_picture(), desk.settings.out).recipe, GROUND)


def _take_file() -> None:
    """What was uploaded takes the place of the picture, unless it is none."""
    st.session_state.pop(_REFUSED, None)
    file = st.session_state.get("ground_file")
    if file is None:
        return
    try:
        open_picture(file.getvalue()).image()
    except ValueError as error:
        st.session_state[_REFUSED] = str(error)
        return
    st.session_state[_PICTURE] = file.getvalue()


def _picture() -> bytes:
    picture: bytes = st.session_state.get(_PICTURE) or _example()
    return picture


@st.cache_data(show_spinner=False)
def _example() -> bytes:
    return example_picture()


@st.cache_data(max_entries=32, show_spinner=False)
def _small(picture: bytes) -> bytes:
    return shown(open_picture(picture).image())


def _panel(desk: Desk, job: Job, rest: Callable[[], None] | None) -> None:
    """What was found; `rest` is for runs that show a part early, which these do not."""
    assert job.result is not None
    facts = job.result
    for sentence in facts["warnings"]:
        st.warning(literal(sentence), icon=":material/info:")
    with st.grid(columns=2, min_column_width=140, gap="small", key="ground_found"):
        for name, title in (("overlay", "Map, box and point"), ("mask", "Mask")):
            with st.container(key=f"caption_ground_{name}"):
                path = desk.path(facts["files"][name])
                st.image(shown(open_picture(path).image()), width="stretch", alt=title)
                st.markdown(f"**{title}**")
    (x, y), (left, top, right, bottom) = facts["point"], facts["box"]
    st.text(
        f"“{facts['expression']}” is at {x}, {y}; its box is {left}, {top} to {right}, {bottom}."
    )
    sinks = ", ".join(facts["sinks"]) or "none"
    st.text(f"The model read “{facts['prompt']}”. Tokens that all places looked at: {sinks}.")
    st.caption(f"Time: {facts['timings']['ground']:.1f} s")
    with st.expander("Figures"):
        st.code(json.dumps(facts, indent=2, ensure_ascii=False), language="json", height=360)
