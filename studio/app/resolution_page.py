"""The page High resolution: a picture drawn small, then drawn over at two and four times its size.

The recipe is that of `generate --finer`. What is drawn to compare with is a job of its own.
"""

from __future__ import annotations

import streamlit as st

from ..jobs import Job
from ..models import Model
from ..recipe import Recipe
from .asking import adopt_recipe, ask
from .desk import Desk
from .draft import MOST_CHARACTERS
from .form_keys import FormKeys
from .job_panel import job_panel
from .resolution_draft import (
    BESIDES,
    MOST_NTK,
    MOST_RADIUS,
    STRENGTHS,
    TIMES,
    ResolutionDraft,
    beside,
    outlook,
)
from .resolution_panel import OPTIONS, resolution_panel
from .run_fields import KEPT, run_fields

__all__ = ["resolution_page", "take_over_resolution"]

_JOB, _BESIDE = "resolution_job", "resolution_beside"
_KEYS = FormKeys("resolution", ResolutionDraft(), rows=("strengths", "radii"))


def resolution_page(desk: Desk) -> None:
    """Draw the page."""
    adopt_recipe(desk, _JOB, take_over_resolution)
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _asking(desk)
    with outcome:
        comes = "the large picture, and what it is compared with, with seconds and memory"
        job_panel(desk, _JOB, comes, "*Draw*", resolution_panel)


def take_over_resolution(recipe: Recipe) -> bool:
    """Set the form to a recipe; False, and nothing done, when the form cannot show it."""
    draft = ResolutionDraft.of(recipe)
    if draft is None:
        return False
    st.session_state.pop(_JOB, None)
    _KEYS.show(draft)
    return True


@st.fragment
def _asking(desk: Desk) -> None:
    """A fragment: what is set here draws only this part of the page again."""
    state = st.session_state
    state.setdefault(_BESIDE, "nothing")
    _KEYS.fill_in()
    model = desk.model(st.session_state[_KEYS["model"]])
    st.text_area("Prompt", key=_KEYS["prompt"], height=68, max_chars=MOST_CHARACTERS, **KEPT)
    times = st.segmented_control(
        "Size",
        TIMES,
        format_func=lambda times: f"× {times}",
        key=_KEYS["times"],
        required=True,
        help="In sizes that the model was trained at. Each doubling is a step up: the picture is "
        "enlarged and drawn over.",
        width="stretch",
        **KEPT,
    )
    for row in range(TIMES.index(times)):
        _step_up(row, windows=model is None or model.has_windows)
    if times > 1:
        _more(model)
    with st.expander("Seed, steps, model and more"):
        run_fields(desk, _KEYS)
    offered = [what for what in BESIDES if what != "dense" or model is None or model.has_windows]
    if state[_BESIDE] not in offered:
        state[_BESIDE] = "nothing"
    st.segmented_control(
        "Also draw, to compare",
        offered,
        format_func=lambda what: BESIDES[what],
        key=_BESIDE,
        required=True,
        help="From the same seed, as a run of its own. Full attention: without windows. At once: "
        "at the final size from the first step, without steps up.",
        **KEPT,
    )
    _say_outlook(model)
    if st.button("Draw", type="primary", width="stretch", key="resolution_go"):
        ask(lambda: _submit(desk), _JOB)


def _step_up(row: int, *, windows: bool) -> None:
    """How one doubling is drawn."""
    left, right = st.columns(2)
    left.slider(
        f"Strength to × {TIMES[row + 1]}",
        *STRENGTHS,
        step=0.05,
        key=_KEYS.row("strengths", row),
        help="The part of the denoising that is done again; 1 forgets the smaller picture.",
        **KEPT,
    )
    if windows:
        right.number_input(
            f"Radius at × {TIMES[row + 1]}, tokens",
            *(0.0, MOST_RADIUS),
            step=1.0,
            format="%g",
            key=_KEYS.row("radii", row),
            help="A token of the picture sees those nearer than this, and all text. 0: full "
            "attention.",
            **KEPT,
        )


def _more(model: Model | None) -> None:
    if model is not None and not model.has_windows:
        st.caption(
            "This model is no transformer of the family of FLUX, Stable Diffusion 3 or Qwen-Image, "
            "so it has no local windows: steps up have full attention."
        )
    left, right = st.columns(2, vertical_alignment="bottom")
    left.toggle(
        "Decode tile by tile",
        key=_KEYS["tiled"],
        help="Less memory for the autoencoder at large sizes; seams are blended.",
        **KEPT,
    )
    if model is None or model.has_base:
        right.number_input(
            "Stretch of positions (NTK)",
            *(1.0, MOST_NTK),
            step=1.0,
            format="%g",
            key=_KEYS["ntk"],
            help="Factor of the rotary base in steps with a radius; CLEAR's authors use 10.",
            **KEPT,
        )


def _say_outlook(model: Model | None) -> None:
    """What will be drawn, as far as it is certain before; what is wrong is said on asking."""
    if model is None:
        return
    try:
        lines = outlook(_draft_so_far(model).recipe(), model)
    except ValueError:
        return
    with st.container(key="caption_resolution_outlook"):
        for line in lines:
            st.text(line)


def _submit(desk: Desk) -> Job:
    """The job of the recipe; what it is compared with is asked for after it."""
    model = desk.model(st.session_state[_KEYS["model"]])
    recipe = _draft_so_far(model).recipe()
    what = st.session_state[_BESIDE]
    other = None if model is None else beside(recipe, what, model)
    if what != "nothing" and other is None:
        raise ValueError(
            f"compare: {BESIDES[what].lower()} came, which draws the same picture here; expected "
            + ("a step up" if what == "at once" else "a step up with a radius")
        )
    job = desk.submit_job(recipe.model_dump(mode="json"), OPTIONS)
    if other is not None:
        desk.submit_job(other.model_dump(mode="json"), OPTIONS)
    return job


def _draft_so_far(model: Model | None) -> ResolutionDraft:
    """What the form says, without what the model cannot have."""
    return ResolutionDraft(**_KEYS.said()).on(model)
