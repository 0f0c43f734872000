"""What the pages that ask for a run share: asking, and a page opened again by its job's key."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from pydantic import ValidationError

from ..jobs import Job
from ..recipe import Recipe
from .desk import Desk
from .literal import literal

__all__ = ["adopt", "adopt_recipe", "ask"]


def ask(submit: Callable[[], Job], where: str) -> None:
    """Submit a job, keep its key in the session and draw the page again, or say what is wrong."""
    try:
        job = submit()
    except (ValueError, OSError) as error:
        st.error(literal(_sentence(error)))
        return
    st.session_state[where] = job.key
    st.rerun()


def adopt(desk: Desk, where: str, take_over: Callable[[Job], bool]) -> None:
    """A page opened with a job's key shows that job and what it asked, and speaks for who asked.

    where:     the key under which the session keeps the job that is shown.
    take_over: sets the form to a job; False when it cannot show it.
    """
    key = st.query_params.get("job")
    job = None if key is None or where in st.session_state else desk.journal.find(key)
    if job is not None and take_over(job):
        st.session_state.setdefault("owner", job.owner)
        st.session_state[where] = key


def adopt_recipe(desk: Desk, where: str, take_over: Callable[[Recipe], bool]) -> None:
    """The same on a page whose jobs are recipes."""

    def read(job: Job) -> bool:
        try:
            recipe = Recipe.model_validate_json(job.recipe)
        except ValueError:  # a job of another page
            return False
        return take_over(recipe)

    adopt(desk, where, read)


def _sentence(error: ValueError | OSError) -> str:
    """What is wrong, in one sentence."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
    return str(error)
