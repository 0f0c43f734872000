"""The page Edit: on the left what to change, on the right what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import streamlit as st
from pydantic import ValidationError

from ..recipe import Recipe
from .desk import Desk
from .draft import Draft
from .edit_form import KEYS, draft_so_far, fill_in, forget_chips, settings_form, words_form
from .job_panel import job_panel
from .literal import literal

__all__ = ["edit_page", "sentence", "take_over"]

_RECIPE = "recipe_as_it_is"


def edit_page(desk: Desk) -> None:
    """Draw the page."""
    _adopt(desk)
    form, outcome = st.columns([5, 7], gap="large")
    with form:
        _form(desk)
    with outcome:
        key = st.session_state.get("job")
        if key is not None:
            st.query_params["job"] = key
        job_panel(desk, key)


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
        _ask(desk, draft_so_far().recipe)


def _ask(desk: Desk, recipe: Callable[[], Recipe]) -> None:
    """Submit the recipe and show its job, or say what is wrong with it."""
    try:
        st.session_state.job = desk.submit(recipe()).key
    except ValueError as error:
        st.error(literal(sentence(error)))
    else:
        st.rerun()


def take_over(recipe: Recipe) -> None:
    """Set the form to a recipe; one that the form cannot show is kept as it is."""
    draft = Draft.of(recipe)
    st.session_state.pop("job", None)
    st.session_state[_RECIPE] = recipe if draft is None else None
    if draft is not None:
        forget_chips()
        for field in fields(draft):
            st.session_state[KEYS[field.name]] = getattr(draft, field.name)


def _adopt(desk: Desk) -> None:
    """A page opened with a job's key shows that job and its recipe, and speaks for who asked."""
    key = st.query_params.get("job")
    if key is None or "job" in st.session_state:
        return
    job = desk.journal.find(key)
    if job is None:
        return
    try:
        recipe = Recipe.model_validate_json(job.recipe)
    except ValueError:  # a job of another page
        return
    st.session_state.setdefault("owner", job.owner)
    take_over(recipe)
    st.session_state.job = key


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
        _ask(desk, lambda: recipe)


def sentence(error: ValueError) -> str:
    """What is wrong with a recipe, in one sentence."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
    return str(error)
