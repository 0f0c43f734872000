"""The page Edit: on the left what to change, on the right what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import streamlit as st
from pydantic import ValidationError

from ..recipe import Recipe
from .desk import Desk
from .draft import Draft
from .edit_form import KEYS, edit_form, forget_chips
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


@st.fragment
def _form(desk: Desk) -> None:
    """A fragment: what is typed and clicked here draws only this part of the page again."""
    as_it_is: Recipe | None = st.session_state.get(_RECIPE)
    if as_it_is is None:
        draft = edit_form(desk)
        if st.button("Edit", type="primary", width="stretch", key="go"):
            _ask(desk, draft.recipe)
    elif _as_it_is(as_it_is):
        _ask(desk, lambda: as_it_is)


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
    if "owner" not in st.session_state:
        st.session_state.owner = job.owner
    take_over(Recipe.model_validate_json(job.recipe))
    st.session_state.job = key


def _as_it_is(recipe: Recipe) -> bool:
    st.markdown("This recipe has more than the form can show. It runs as it is.")
    for prompt in recipe.prompts:
        st.text(prompt or "(empty prompt)")
    st.code(recipe.model_dump_json(indent=2), language="json", height=320)
    if st.button("Back to the form", width="stretch"):
        st.session_state[_RECIPE] = None
        st.rerun()
    return st.button("Run", type="primary", width="stretch", key="go")


def sentence(error: ValueError) -> str:
    """What is wrong with a recipe, in one sentence."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
    return str(error)
