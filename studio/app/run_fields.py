"""The fields in which the forms are alike: with what model, from what noise, how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ..models import find_models
from .desk import Desk
from .draft import MOST_CHARACTERS, MOST_GUIDANCE, MOST_SEED, MOST_STEPS

__all__ = ["KEPT", "model_field", "run_fields", "steps_field"]

KEPT: dict[str, Any] = {"persist_state": "session"}
"""What a field needs to keep what was typed while another page is shown."""


def run_fields(desk: Desk, keys: Mapping[str, str]) -> None:
    """Seed, steps, guidance, negative prompt, model; `keys` say where the session keeps each."""
    left, middle, right = st.columns(3)
    left.number_input("Seed", 0, MOST_SEED, key=keys["seed"], **KEPT)
    steps_field(middle, keys["steps"])
    right.number_input(
        "Guidance",
        *(0.0, MOST_GUIDANCE),
        step=0.5,
        key=keys["guidance"],
        help="How closely the picture keeps to the prompt.",
        **KEPT,
    )
    st.text_input("Not in the picture", key=keys["negative"], max_chars=MOST_CHARACTERS, **KEPT)
    model_field(desk, keys["model"])


def steps_field(place: Any, key: str) -> None:
    """Denoising steps, in a column or container."""
    place.number_input("Steps", 1, MOST_STEPS, key=key, **KEPT)


def model_field(desk: Desk, key: str) -> None:
    """One of the models there are; one that is set but gone stays, so that a run says so."""
    names = [model.name for model in find_models(desk.settings.models)]
    names = list(dict.fromkeys([*names, st.session_state[key]]))
    st.selectbox("Model", names, format_func=str, key=key, **KEPT)
