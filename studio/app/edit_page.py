"""The page Edit: on the left what to change, on the right what came of it."""

from __future__ import annotations

import streamlit as st

from ..recipe import Recipe
from .asking import adopt_recipe, ask
from .desk import Desk
from .draft import Draft
from .edit_form import KEYS, draft_so_far, fill_in, forget_chips, settings_form, words_form
from .job_panel import job_panel

__all__ = ["edit_page", "take_over"]

_JOB, _RECIPE = "job", "recipe_as_it_is"


def edit_page(desk: Desk) -> None:
    """Draw the page."""
    adopt_recipe(desk, _JOB, lambda recipe: take_over(desk, recipe))
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _form(desk)
    with outcome:
        comes = "the source, its edit, and the edited prompt without control"
        job_panel(desk, _JOB, comes, "*Edit*")


def _form(desk: Desk) -> None:
    as_it_is: Recipe | None = st.session_state.get(_RECIPE)
    if as_it_is is not None:
        _as_it_is(desk, as_it_is)
        return
    fill_in()
    words_form()
    settings_form(desk)
    _go(desk)


@st.fragment
def _go(desk: Desk) -> None:
    """A fragment: a refused recipe does not draw the page again."""
    if st.button("Edit", type="primary", width="stretch", key="go"):
        ask(lambda: desk.submit(draft_so_far().recipe(desk.settings.models)), _JOB)


def take_over(desk: Desk, recipe: Recipe) -> bool:
    """Set the form to a recipe; one that the form cannot show is kept as it is. Always True."""
    draft = Draft.of(recipe, desk.settings.models)
    st.session_state.pop(_JOB, None)
    st.session_state[_RECIPE] = recipe if draft is None else None
    if draft is not None:
        forget_chips()
        KEYS.show(draft)
    return True


@st.fragment
def _as_it_is(desk: Desk, recipe: Recipe) -> None:
    st.markdown("This recipe has more than the form can show. It runs as it is.")
    for prompt in recipe.prompts:
        st.text(prompt or "(empty prompt)")
    st.code(recipe.model_dump_json(indent=2), language="json", height=320)
    if st.button("Back to the form", width="stretch"):
        st.session_state[_RECIPE] = None
        st.rerun()
    if st.button("Run", type="primary", width="stretch", key="go"):
        ask(lambda: desk.submit(recipe), _JOB)
